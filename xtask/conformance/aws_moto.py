"""The same questions to moto's server: keys, types and error codes of the answers are compared with the sandbox's.
Every difference stands in `moto-differences.toml` with its reason."""

import datetime
import os
import pathlib
import tomllib

from aws_calls import Aws
from aws_scenario import CHECKS
from harness import Suite

suite = Suite("moto", set())
TABLE = pathlib.Path(__file__).with_name("moto-differences.toml")
FACTS = {"InstanceArn": "instanceArn", "IdentityStoreId": "identityStoreId"}


def sandbox():
    suite.control.post("/console/aws/enable-identity-center")
    facts = suite.refresh()["aws"]
    aws = Aws(facts["endpoint"], suite.descriptor["caFile"], facts["accessKeyId"], facts["secretAccessKey"])
    aws.defaults = {name: facts[fact] for name, fact in FACTS.items()}
    aws.management, aws.accounts = facts["managementAccountId"], ["111122223333", "333344445555"]
    return aws


def moto(url):
    """moto with as much of the world as its API lets in."""
    aws = Aws(url, None, "AKIAMOTO", "any", retries=1)
    (found,) = aws.sso("ListInstances")["Instances"]
    aws.defaults = {name: found[name] for name in FACTS}
    organization = aws.organization("CreateOrganization", FeatureSet="ALL")["Organization"]
    aws.management = organization["MasterAccountId"]
    root = aws.organization("ListRoots")["Roots"][0]["Id"]
    aws.organization("EnablePolicyType", RootId=root, PolicyType="SERVICE_CONTROL_POLICY")
    unit = lambda parent, name: aws.organization(  # noqa: E731
        "CreateOrganizationalUnit", ParentId=parent, Name=name
    )["OrganizationalUnit"]["Id"]
    workloads = unit(root, "Workloads")
    aws.accounts = []
    for name, env, below in (("shop-prod", "prod", "Prod"), ("shop-dev", "dev", "Dev")):
        tags = [{"Key": "env", "Value": env}, {"Key": "team", "Value": "shop"}]
        made = aws.organization("CreateAccount", AccountName=name, Email=f"{name}@acme.example", Tags=tags)
        account = made["CreateAccountStatus"]["AccountId"]
        parent = unit(workloads, below)
        aws.organization("MoveAccount", AccountId=account, SourceParentId=root, DestinationParentId=parent)
        aws.accounts.append(account)
    aws.organization("EnableAWSServiceAccess", ServicePrincipal="sso.amazonaws.com")
    policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*"}]}'
    trust = policy.replace('"Resource":"*"', '"Principal":{"AWS":"*"}').replace("s3:ListBucket", "sts:AssumeRole")
    aws.call("iam", "CreateRole", RoleName="operations", AssumeRolePolicyDocument=trust)
    for name, path in (("engineers-extra", "/"), ("engineers-boundary", "/boundaries/")):
        aws.call("iam", "CreatePolicy", PolicyName=name, Path=path, PolicyDocument=policy)
    return aws


def run(aws):
    """How far each check comes."""
    aws.record.clear()
    stops, errors = {}, []
    for title, function in CHECKS:
        aws.title = title
        try:
            function(aws)
        except Exception as error:  # noqa: BLE001: where it stops is what is compared
            last = aws.record[-1][1] if aws.record and aws.record[-1][0] == title else "the beginning"
            stops[title] = f"{type(error).__name__} after {last}"
            errors.append(f"{title}: {error!r:.300}")
    return stops, errors


def shapes(value, path=""):
    """Every path in an answer with the type that stands there. Items of lists are taken together."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from shapes(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        yield path + "[]", "list"
        for inner in value:
            yield from shapes(inner, path + "[]")
    else:
        names = {datetime.datetime: "time", str: "text", bool: "boolean", int: "number", float: "number"}
        yield path, names.get(type(value), type(value).__name__)


def answers(aws, titles):
    """What each operation answered in these checks: paths with types, and error codes."""
    found = {}
    for title, operation, outcome, what in aws.record:
        if title in titles:
            entries = found.setdefault(operation, set())
            if outcome == "error":
                entries.add(f"error {what}")
            else:
                entries.update(f"{path}: {kind}" for path, kind in shapes(what) if "Statement" not in path)
    return found


def differences(ours, theirs, ours_stops, theirs_stops):
    for title, where in ours_stops.items():
        yield f"the sandbox stops in {title!r}: {where}"
    for title, where in theirs_stops.items():
        yield f"moto stops in {title!r}: {where}"
    both = {title for title, _ in CHECKS} - {*ours_stops, *theirs_stops}
    ours, theirs = answers(ours, both), answers(theirs, both)
    for operation in sorted({*ours, *theirs}):
        mine, other = ours.get(operation, set()), theirs.get(operation, set())
        for entry in sorted(mine - other):
            yield f"{operation}: only the sandbox has {entry}"
        for entry in sorted(other - mine):
            yield f"{operation}: only moto has {entry}"


ours, theirs = sandbox(), moto(os.environ["CONFORMANCE_MOTO"])
(ours_stops, ours_errors), (theirs_stops, theirs_errors) = run(ours), run(theirs)
found = list(differences(ours, theirs, ours_stops, theirs_stops))
with TABLE.open("rb") as file:
    table = tomllib.load(file).get("difference", [])
listed = {what: entry["reason"] for entry in table for what in entry["what"]}


@suite.check("every difference is listed with its reason")
def _():
    missing = [what for what in found if what not in listed]
    where = "\n".join(["not listed:", *missing, "where they stop:", *ours_errors, *theirs_errors])
    assert not missing, where


@suite.check("every listed difference still exists")
def _():
    gone = [what for what in listed if what not in found]
    assert not gone, "no difference any more:\n" + "\n".join(gone)


@suite.check("both agree on what is compared")
def _():
    titles = {title for title, _ in CHECKS}
    mine, other = answers(ours, titles), answers(theirs, titles)
    shared = {f"{o}: {e}" for o in mine for e in mine[o]} & {f"{o}: {e}" for o in other for e in other[o]}
    assert len(shared) > 100, f"only {len(shared)} answers in common"


suite.extra = {"differences": [{"what": entry["what"], "reason": entry["reason"]} for entry in table]}
suite.finish(coverage=False)
