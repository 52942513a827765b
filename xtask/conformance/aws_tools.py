"""The tools that people use: the AWS CLI and aws-sso-util, as the README says, by their environment."""

import csv
import io
import json
import os
import subprocess
import sys

from aws_calls import Aws
from aws_scenario import assigned, group, made, seen, user
from harness import Skipped, Suite, equal

suite = Suite("tools", {"sso-admin", "identitystore", "organizations", "sts", "iam"})
suite.control.post("/console/aws/enable-identity-center")
facts = suite.refresh()["aws"]
aws = Aws(facts["endpoint"], suite.descriptor["caFile"], facts["accessKeyId"], facts["secretAccessKey"])
aws.defaults = {"InstanceArn": facts["instanceArn"], "IdentityStoreId": facts["identityStoreId"]}
INSTANCE, STORE = ["--instance-arn", facts["instanceArn"]], ["--identity-store-id", facts["identityStoreId"]]

ENVIRONMENT = {
    **os.environ,
    "AWS_ENDPOINT_URL": facts["endpoint"],
    "AWS_CA_BUNDLE": suite.descriptor["caFile"],
    "AWS_REGION": facts["region"],
    "AWS_DEFAULT_REGION": facts["region"],
    "AWS_ACCESS_KEY_ID": facts["accessKeyId"],
    "AWS_SECRET_ACCESS_KEY": facts["secretAccessKey"],
    # Nothing of the person's own, and no way off this machine.
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_PAGER": "",
    "NO_PROXY": "*",
}


def run(*words, status=0, **environment):
    done = subprocess.run(
        [sys.executable, "-m", *words], env={**ENVIRONMENT, **environment}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def cli(*words, **more):
    """An answer of the AWS CLI."""
    text = run("awscli", *words, **more).stdout
    return json.loads(text) if text else None


def util(*words):
    """A table of aws-sso-util."""
    return list(csv.DictReader(io.StringIO(run("aws_sso_util", *words).stdout)))


arn = made(aws, "Tools")
crew, person = group(aws, "tools-crew"), user(aws, "tools@acme.example")
for kind, principal in (("GROUP", crew), ("USER", person)):
    assigned(aws, arn, "111122223333", kind, principal)


@suite.check("AWS CLI: accounts, instances, and who am I")
def _():
    names = cli("organizations", "list-accounts", "--query", "Accounts[].Name")
    equal(sorted(names), ["Management", "security", "shop-dev", "shop-prod"])
    paged = cli("organizations", "list-accounts", "--page-size", "1", "--query", "Accounts[].Name")
    equal(sorted(paged), sorted(names))
    equal(cli("sso-admin", "list-instances")["Instances"][0]["InstanceArn"], facts["instanceArn"])
    equal(cli("sts", "get-caller-identity")["Account"], facts["managementAccountId"])


@suite.check("AWS CLI: a permission set is made, read, listed and deleted")
def _():
    words = ["--name", "Cli", "--description", "d", "--session-duration", "PT2H", "--tags", "Key=a,Value=b"]
    created = cli("sso-admin", "create-permission-set", *INSTANCE, *words)["PermissionSet"]["PermissionSetArn"]
    seen(aws, created)
    one = [*INSTANCE, "--permission-set-arn", created]
    equal(cli("sso-admin", "describe-permission-set", *one)["PermissionSet"]["SessionDuration"], "PT2H")
    tags = cli("sso-admin", "list-tags-for-resource", *INSTANCE, "--resource-arn", created)["Tags"]
    equal(tags, [{"Key": "a", "Value": "b"}])
    listed = cli("sso-admin", "list-permission-sets", *INSTANCE, "--page-size", "1")["PermissionSets"]
    assert {arn, created} <= set(listed), listed
    equal(cli("sso-admin", "delete-permission-set", *one), None)


@suite.check("AWS CLI: users and groups")
def _():
    by_name = json.dumps({"UniqueAttribute": {"AttributePath": "displayName", "AttributeValue": "tools-crew"}})
    found = cli("identitystore", "get-group-id", *STORE, "--alternate-identifier", by_name)
    equal(found["GroupId"], crew)
    users = cli("identitystore", "list-users", *STORE, "--query", "Users[].UserName")
    equal(users, ["tools@acme.example"])


@suite.check("AWS CLI: errors are told by code")
def _():
    failed = run("awscli", "iam", "get-role", "--role-name", "nobody", status=255)
    assert "NoSuchEntity" in failed.stderr, failed.stderr
    failed = run("awscli", "sso-admin", "list-instances", status=255, AWS_ACCESS_KEY_ID="AKIANOBODYKNOWSTHIS1")
    assert "UnrecognizedClientException" in failed.stderr, failed.stderr


@suite.check("aws-sso-util: the instance, a group, a user and a permission set are looked up")
def _():
    found = run("aws_sso_util", "admin", "lookup", "instance", "--no-header").stdout
    assert facts["instanceArn"].rsplit("/", 1)[1] in found, found
    for kind, name, expected in (
        ("group", "tools-crew", crew),
        ("user", "tools@acme.example", person),
        ("permission-set", "Tools", arn.rsplit("/", 1)[1]),
    ):
        found = run("aws_sso_util", "admin", "lookup", kind, name, "--no-header").stdout
        assert expected in found, found


@suite.check("aws-sso-util: all assignments, with names")
def _():
    found = util("admin", "assignments")
    rows = sorted((r["principal_type"], r["principal_name"], r["permission_set_name"], r["target_name"]) for r in found)
    equal(rows, [("GROUP", "tools-crew", "Tools", "shop-prod"), ("USER", "tools@acme.example", "Tools", "shop-prod")])
    found = util("admin", "assignments", "--group", "tools-crew", "--account-id", "111122223333")
    equal([r["principal_id"] for r in found], [crew])


@suite.check("Terraform's AWS provider")
def _():
    raise Skipped("the provider comes from a registry on the network only, and this run keeps to the machine")


suite.finish(coverage=False)
