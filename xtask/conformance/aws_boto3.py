"""boto3 against the sandbox: every operation, pages, asynchronous work, typed errors, bad callers."""

import base64
import concurrent.futures
import datetime
import json
import unittest.mock
import uuid

import botocore.auth
from aws_calls import Aws
from aws_scenario import CHECKS, NOBODY, READ_ONLY, assigned, ended, group, made, nowhere, user
from harness import Suite, equal, until

suite = Suite("boto3", {"sso-admin", "identitystore", "organizations", "sts", "iam"})
control = suite.control
descriptor = suite.descriptor["aws"]


def caller(key=descriptor["accessKeyId"], secret="any", **more):
    """Signatures are not recomputed by the sandbox, keys and dates are checked."""
    aws = Aws(descriptor["endpoint"], suite.descriptor["caFile"], key, secret, **more)
    aws.management, aws.accounts = descriptor["managementAccountId"], ["111122223333", "333344445555"]
    facts = suite.refresh()["aws"]
    aws.defaults = {k: facts[f] for k, f in FACTS.items() if f in facts}
    return aws


FACTS = {"InstanceArn": "instanceArn", "IdentityStoreId": "identityStoreId"}
DELEGATED, LIMITED, MEMBER = "AKIADELEGATEDSANDBX2", "AKIALIMITEDINSANDBX3", "AKIAMEMBERINSANDBOX4"


@suite.check("there is no instance before somebody enables it")
def _():
    equal(caller().sso("ListInstances")["Instances"], [])
    control.post("/console/aws/enable-identity-center")


aws = caller()
for title, function in CHECKS:
    suite.check(title)(lambda function=function: function(aws))


@suite.check("the instance and its Regions are described")
def _():
    found = aws.sso("DescribeInstance")
    equal((found["Status"], found["PermissionSetsEnabled"]), ("ACTIVE", True))
    equal(found["OwnerAccountId"], aws.management)
    assert isinstance(found["CreatedDate"], datetime.datetime)
    regions = aws.pages("sso-admin", "ListRegions", "Regions", size=1)
    equal([(r["RegionName"], r["IsPrimaryRegion"]) for r in regions], [("eu-west-1", True)])
    equal(aws.sso("DescribeRegion", RegionName="eu-west-1")["Status"], "ACTIVE")
    with aws.refused("ResourceNotFoundException"):
        aws.sso("DescribeRegion", RegionName="us-east-1")
    with aws.refused("ResourceNotFoundException"):
        aws.sso("DescribeInstanceAccessControlAttributeConfiguration")


@suite.check("an update without a relay state erases it")
def _():
    arn = made(aws, "Relay", RelayState="https://console.aws.amazon.com/")
    aws.sso("UpdatePermissionSet", PermissionSetArn=arn, Description="d")
    shown = lambda: aws.sso("DescribePermissionSet", PermissionSetArn=arn)["PermissionSet"]  # noqa: E731
    until("the relay state is gone", lambda: "RelayState" not in shown())


@suite.check("tags of sets and of the instance")
def _():
    arn = made(aws, "Tags", Tags=[{"Key": "a", "Value": "1"}])
    for resource in (arn, aws.defaults["InstanceArn"]):
        aws.sso("TagResource", ResourceArn=resource, Tags=[{"Key": f"k{i:02}", "Value": "v"} for i in range(30)])
        paginator = aws.client("sso-admin").get_paginator("list_tags_for_resource")

        def keys():
            pages = paginator.paginate(ResourceArn=resource, InstanceArn=aws.defaults["InstanceArn"])
            return {tag["Key"] for page in pages for tag in page["Tags"]} - {"a"}

        until("all tags are listed", lambda: len(keys()) == 30)
        aws.sso("UntagResource", ResourceArn=resource, TagKeys=[f"k{i:02}" for i in range(29)])
        until("one is left", lambda: keys() == {"k29"})
    with aws.refused("ResourceNotFoundException"):
        aws.sso("TagResource", ResourceArn=nowhere(aws), Tags=[{"Key": "a", "Value": "1"}])
    with aws.refused("ValidationException"):
        aws.sso("TagResource", ResourceArn=arn, Tags=[{"Key": "aws:x", "Value": "1"}])


@suite.check("a permissions boundary is one of two, and absent ones are not found")
def _():
    arn = made(aws, "Boundary")
    with aws.refused("ResourceNotFoundException"):
        aws.sso("GetPermissionsBoundaryForPermissionSet", PermissionSetArn=arn)
    for boundary in (
        {"ManagedPolicyArn": READ_ONLY},
        {"CustomerManagedPolicyReference": {"Name": "engineers-boundary", "Path": "/boundaries/"}},
    ):
        aws.sso("PutPermissionsBoundaryToPermissionSet", PermissionSetArn=arn, PermissionsBoundary=boundary)

        def look():
            try:
                found = aws.sso("GetPermissionsBoundaryForPermissionSet", PermissionSetArn=arn)
            except aws.client("sso-admin").exceptions.ResourceNotFoundException:
                return False
            return found["PermissionsBoundary"] == boundary

        until("the boundary is seen", look)
    with aws.refused("ValidationException"):
        aws.sso("PutPermissionsBoundaryToPermissionSet", PermissionSetArn=arn, PermissionsBoundary={})
    aws.sso("DeletePermissionsBoundaryFromPermissionSet", PermissionSetArn=arn)


@suite.check("asynchronous work is polled with one listing, and only a description tells why it failed")
def _():
    arn, account = made(aws, "Failing"), aws.accounts[1]
    reference = {"Name": "engineers-extra", "Path": "/"}
    aws.sso(
        "AttachCustomerManagedPolicyReferenceToPermissionSet",
        PermissionSetArn=arn,
        CustomerManagedPolicyReference=reference,
    )
    key = {
        "PermissionSetArn": arn,
        "TargetId": account,
        "TargetType": "AWS_ACCOUNT",
        "PrincipalType": "GROUP",
        "PrincipalId": group(aws, "failing"),
    }
    status = aws.sso("CreateAccountAssignment", **key)["AccountAssignmentCreationStatus"]
    equal(status["Status"], "IN_PROGRESS")
    request = status["RequestId"]

    def listed(state):
        found = aws.pages(
            "sso-admin",
            "ListAccountAssignmentCreationStatus",
            "AccountAssignmentsCreationStatus",
            2,
            Filter={"Status": state},
        )
        return [s for s in found if s["RequestId"] == request]

    until("it is not in progress any more", lambda: not listed("IN_PROGRESS"))
    equal(set(listed("FAILED")[0]), {"Status", "RequestId", "CreatedDate"})
    failed = ended(aws, "Creation", request, "FAILED")
    assert f"arn:aws:iam::{account}:policy/engineers-extra does not exist" in failed["FailureReason"], failed
    with aws.refused("ResourceNotFoundException"):
        aws.sso("DescribeAccountAssignmentCreationStatus", AccountAssignmentCreationRequestId=NOBODY)
    # The same in an account that has the policy.
    assigned(aws, arn, aws.accounts[0], "GROUP", key["PrincipalId"])
    deletion = aws.sso("DeleteAccountAssignment", **{**key, "TargetId": aws.accounts[0]})
    ended(aws, "Deletion", deletion["AccountAssignmentDeletionStatus"]["RequestId"])
    all_of_them = aws.sso("ListAccountAssignmentDeletionStatus")["AccountAssignmentsDeletionStatus"]
    assert deletion["AccountAssignmentDeletionStatus"]["RequestId"] in [s["RequestId"] for s in all_of_them]


@suite.check("a changed set makes its accounts stale until they are provisioned")
def _():
    arn, account = made(aws, "Stale"), aws.accounts[0]
    assigned(aws, arn, account, "USER", user(aws, "stale@acme.example"))
    stale = {"PermissionSetArn": arn, "ProvisioningStatus": "LATEST_PERMISSION_SET_NOT_PROVISIONED"}

    def accounts():
        return aws.sso("ListAccountsForProvisionedPermissionSet", **stale)["AccountIds"]

    def sets():
        found = aws.pages(
            "sso-admin",
            "ListPermissionSetsProvisionedToAccount",
            "PermissionSets",
            1,
            AccountId=account,
            ProvisioningStatus=stale["ProvisioningStatus"],
        )
        return arn in found

    equal(accounts(), [])
    aws.sso("AttachManagedPolicyToPermissionSet", PermissionSetArn=arn, ManagedPolicyArn=READ_ONLY)
    until("the account is stale", lambda: accounts() == [account] and sets())
    status = aws.sso(
        "ProvisionPermissionSet", PermissionSetArn=arn, TargetType="AWS_ACCOUNT", TargetId=account
    )["PermissionSetProvisioningStatus"]
    equal((status["AccountId"], status["Status"]), (account, "IN_PROGRESS"))

    def look():
        found = aws.sso(
            "DescribePermissionSetProvisioningStatus", ProvisionPermissionSetRequestId=status["RequestId"]
        )
        return found["PermissionSetProvisioningStatus"]["Status"] == "SUCCEEDED"

    until("provisioning ends", look)
    until("the account is up to date", lambda: accounts() == [])
    found = aws.sso("ListPermissionSetProvisioningStatus", Filter={"Status": "SUCCEEDED"})
    assert status["RequestId"] in [s["RequestId"] for s in found["PermissionSetsProvisioningStatus"]]
    with aws.refused("ValidationException"):
        aws.sso("ProvisionPermissionSet", PermissionSetArn=arn, TargetType="AWS_ACCOUNT")


@suite.check("the sixteenth outstanding creation is throttled")
def _():
    # Whether they exist is only seen later.
    arn = made(aws, "Sixteen")
    once = caller(retries=1)
    once.sso("ListInstances")
    key = {"PermissionSetArn": arn, "TargetId": aws.accounts[0], "TargetType": "AWS_ACCOUNT", "PrincipalType": "GROUP"}

    def create(principal):
        try:
            once.sso("CreateAccountAssignment", PrincipalId=principal, **key)
        except once.client("sso-admin").exceptions.ThrottlingException as error:
            return error.response["Error"]["Message"]
        return ""

    # The clouds work them off meanwhile: a machine that does much else needs more than one attempt.
    accepted = 0
    for _ in range(20):
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(create, [str(uuid.uuid4()) for _ in range(60)]))
        refused = [answer for answer in answers if answer]
        accepted += answers.count("")
        if refused:
            break
    assert refused and all("too many requests processing" in answer for answer in refused), answers
    assert accepted >= 15, answers


@suite.check("a group is renamed, and its revision guards it")
def _():
    crew = group(aws, "before")
    rename = [{"AttributePath": "displayName", "AttributeValue": "after"}]
    aws.store("UpdateGroup", GroupId=crew, Operations=rename)
    until("the name is seen", lambda: aws.store("DescribeGroup", GroupId=crew)["DisplayName"] == "after")
    shown = aws.store("DescribeGroup", GroupId=crew)
    if "Revision" in shown:
        with aws.refused("ConflictException") as refusal:
            aws.store("UpdateGroup", GroupId=crew, Revision="999", Operations=rename)
        equal(refusal.response["Reason"], "CONCURRENT_MODIFICATION")
    with aws.refused("ConflictException") as refusal:
        aws.store("CreateGroup", DisplayName="after")
    equal(refusal.response["Reason"], "UNIQUENESS_CONSTRAINT_VIOLATION")


@suite.check("the identity store itself")
def _():
    found = aws.store("ListIdentityStores")
    assert aws.defaults["IdentityStoreId"] in str(found), found
    equal(aws.store("DescribeIdentityStore")["IdentityStoreId"], aws.defaults["IdentityStoreId"])
    with aws.refused("ResourceNotFoundException") as refusal:
        aws.store("DescribeIdentityStore", IdentityStoreId="d-0000000000")
    equal(refusal.response["ResourceType"], "IDENTITY_STORE")


@suite.check("a role is assumed with its external id, and its session ends")
def _():
    role = {"RoleArn": f"arn:aws:iam::{aws.management}:role/operations", "RoleSessionName": "conformance"}
    with aws.refused("AccessDenied", typed=False):
        aws.call("sts", "AssumeRole", **role)
    with aws.refused("AccessDenied", typed=False):
        aws.call("sts", "AssumeRole", **role, ExternalId="wrong")
    found = aws.call("sts", "AssumeRole", **role, ExternalId="xyz", DurationSeconds=900)["Credentials"]
    session = (found["AccessKeyId"], found["SecretAccessKey"])
    assumed = caller(*session, token=found["SessionToken"], retries=1)
    arn = assumed.call("sts", "GetCallerIdentity")["Arn"]
    equal(arn, f"arn:aws:sts::{aws.management}:assumed-role/operations/conformance")
    assumed.sso("ListInstances")
    with assumed.refused("UnrecognizedClientException", typed=False):
        caller(*session, token="wrong", retries=1).sso("ListInstances")
    control.advance(901)
    with assumed.refused("ExpiredTokenException", typed=False):
        assumed.sso("ListInstances")
    with assumed.refused("ExpiredToken", typed=False):
        assumed.call("sts", "GetCallerIdentity")


@suite.check("unknown keys are refused by each service in its own words")
def _():
    stranger = caller("AKIANOBODYKNOWSTHIS1", retries=1)
    for service, operation, code in (
        ("sso-admin", "ListInstances", "UnrecognizedClientException"),
        ("identitystore", "ListGroups", "UnrecognizedClientException"),
        ("organizations", "ListAccounts", "UnrecognizedClientException"),
        ("iam", "ListRoles", "InvalidClientTokenId"),
        ("sts", "GetCallerIdentity", "InvalidClientTokenId"),
    ):
        with stranger.refused(code, typed=False) as refusal:
            stranger.call(service, operation)
        equal(refusal.response["ResponseMetadata"]["HTTPStatusCode"], 403 if "Token" in code else 400)


@suite.check("a signature of yesterday is refused")
def _():
    late = caller(retries=1)
    yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    with unittest.mock.patch.object(botocore.auth, "get_current_datetime", lambda *_: yesterday.replace(tzinfo=None)):
        with late.refused("InvalidSignatureException", typed=False):
            late.sso("ListInstances")
        with late.refused("SignatureDoesNotMatch", typed=False):
            late.call("sts", "GetCallerIdentity")


@suite.check("a caller without the right is denied")
def _():
    limited = caller(LIMITED)
    limited.sso("ListPermissionSets")
    with limited.refused("AccessDeniedException"):
        limited.sso("CreatePermissionSet", Name="Denied")
    with limited.refused("AccessDeniedException"):
        limited.store("ListGroups")
    with limited.refused("AccessDeniedException"):
        limited.organization("ListAccounts")
    with limited.refused("AccessDenied", typed=False):
        limited.call("iam", "ListRoles")
    member = caller(MEMBER)
    with member.refused("AccessDeniedException"):
        member.organization("ListAccounts")
    with member.refused("AccessDeniedException"):
        member.sso("ListPermissionSets")


@suite.check("a delegated administrator stays out of the management account")
def _():
    delegated, principal = caller(DELEGATED), group(aws, "delegated")
    arn = made(delegated, "Delegated")
    with delegated.refused("AccessDeniedException"):
        delegated.sso("ListAccountAssignmentsForPrincipal", PrincipalId=principal, PrincipalType="GROUP")
    assigned(aws, arn, aws.management, "GROUP", principal)
    with delegated.refused("AccessDeniedException"):
        delegated.sso("UpdatePermissionSet", PermissionSetArn=arn, Description="x")
    aws.sso("UpdatePermissionSet", PermissionSetArn=arn, Description="x")


@suite.check("the role of an assignment is in the account's IAM")
def _():
    paginator = aws.client("iam").get_paginator("list_roles")
    pages = paginator.paginate(PathPrefix="/aws-reserved/", PaginationConfig={"PageSize": 1})
    found = [role for page in pages for role in page["Roles"]]
    (role,) = [r for r in found if r["RoleName"].startswith("AWSReservedSSO_Delegated_")]
    equal((role["Path"], role["MaxSessionDuration"]), ("/aws-reserved/sso.amazonaws.com/eu-west-1/", 43200))


@suite.check("values that do not fit are named, whatever the client lets through")
def _():
    loose = caller(validate=False)
    with loose.refused("ValidationException") as refusal:
        loose.sso("CreatePermissionSet", Name="a b", Description="en – dash")
    assert refusal.response["Error"]["Message"].startswith("2 validation errors detected"), refusal.response
    for operation, given in (
        ("ListPermissionSets", {"MaxResults": 101}),
        ("ListPermissionSets", {"NextToken": "bogus"}),
        ("CreatePermissionSet", {"Name": "Long", "SessionDuration": "PT13H"}),
        ("DescribePermissionSet", {"PermissionSetArn": "arn:aws:sso:::permissionSet/x"}),
        ("CreatePermissionSet", {}),
    ):
        with loose.refused("ValidationException"):
            loose.sso(operation, **given)
    arn = made(aws, "Large")
    for policy in ("no JSON", '{"Version":"' + "x" * 10_300 + '"}'):
        with loose.refused("ValidationException"):
            loose.sso("PutInlinePolicyToPermissionSet", PermissionSetArn=arn, InlinePolicy=policy)
    with loose.refused("ValidationException"):
        loose.store("ListGroups", MaxResults=101)
    with loose.refused("InvalidInputException") as refusal:
        loose.organization("ListAccounts", NextToken="bogus")
    equal(refusal.response["Reason"], "INVALID_NEXT_TOKEN")


@suite.check("quotas: the twenty-first policy of a set")
def _():
    arn = made(aws, "Twenty")
    policy = "arn:aws:iam::aws:policy/p{}"
    for i in range(20):
        aws.sso("AttachManagedPolicyToPermissionSet", PermissionSetArn=arn, ManagedPolicyArn=policy.format(i))
    with aws.refused("ServiceQuotaExceededException"):
        aws.sso("AttachManagedPolicyToPermissionSet", PermissionSetArn=arn, ManagedPolicyArn=policy.format(20))


@suite.check("operations that the sandbox lacks are unknown, not successful")
def _():
    with aws.refused("UnknownOperationException", typed=False):
        aws.sso("ListApplications")
    with aws.refused("UnknownOperationException", typed=False):
        aws.organization("ListPolicies", Filter="SERVICE_CONTROL_POLICY")
    with aws.refused("InvalidAction", typed=False):
        aws.call("iam", "ListUsers")
    with aws.refused("InvalidAction", typed=False):
        aws.call("sts", "GetSessionToken")


@suite.check("throttles are typed, and a client that retries gets through")
def _():
    once = caller(retries=1)
    for service, operation, code in (
        ("sso-admin", "ListInstances", "ThrottlingException"),
        ("identitystore", "ListGroups", "ThrottlingException"),
        ("organizations", "ListAccounts", "TooManyRequestsException"),
    ):
        with control.fault(service=service, operation=operation, kind="throttle"):
            with once.refused(code):
                once.call(service, operation)
        with control.fault(service=service, operation=operation, kind="throttle"):
            aws.call(service, operation)
    with control.fault(service="iam", kind="throttle"), once.refused("Throttling", typed=False):
        once.call("iam", "ListRoles")
    with control.fault(service="identitystore", kind="throttle", retryAfter=2):
        with once.refused("ThrottlingException") as refusal:
            once.store("ListGroups")
    equal(refusal.response["RetryAfterSeconds"], 2)


@suite.check("trouble with a customer managed key comes with a reason")
def _():
    once = caller(retries=1)
    for code, reason in (
        ("AccessDeniedException", "KMS_AccessDeniedException"),
        ("ResourceNotFoundException", "KMS_NotFoundException"),
        ("ThrottlingException", "KMS_ThrottlingException"),
        ("ValidationException", "KMS_InvalidKeyUsageException"),
    ):
        with control.fault(service="sso-admin", kind="error", status=400, code=f"{code}/{reason}"):
            with once.refused(code) as refusal:
                once.sso("ListPermissionSets")
        equal(refusal.response["Reason"], reason)


@suite.check("a lost answer is asked for again, and nothing is there twice")
def _():
    with control.fault(service="sso-admin", operation="CreatePermissionSet", kind="cut-after-effect"):
        with aws.refused("ConflictException"):
            aws.sso("CreatePermissionSet", Name="Lost")

    def found():
        sets = aws.pages("sso-admin", "ListPermissionSets", "PermissionSets")
        names = [aws.sso("DescribePermissionSet", PermissionSetArn=arn)["PermissionSet"]["Name"] for arn in sets]
        return names.count("Lost")

    equal(until("the set is listed", found), 1)


@suite.check("an identity token that nobody vouches for assumes no role")
def _():
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")  # noqa: E731
    claims = {"iss": "https://issuer.example", "sub": "me", "aud": ["sts.amazonaws.com"], "exp": 4_000_000_000}
    role = {"RoleArn": f"arn:aws:iam::{aws.management}:role/operations", "RoleSessionName": "conformance"}
    for token in ("no token at all", f"{part({'alg': 'RS256'})}.{part(claims)}.{part('signature')}"):
        with aws.refused("InvalidIdentityToken", typed=False):
            aws.call("sts", "AssumeRoleWithWebIdentity", WebIdentityToken=token, **role)


suite.finish(
    never_good={
        "sso-admin DescribeInstanceAccessControlAttributeConfiguration": "attributes for access control cannot be "
        "switched on in the sandbox, so that the answer is always that there are none",
        "sts AssumeRoleWithWebIdentity": "good tokens come from a cluster, and this run has none; the sandbox's own "
        "tests have an issuer",
    }
)
