"""What is asked of both, the sandbox and moto: a function for each check, in order.

`aws.accounts` are two member accounts, `aws.management` is the management account.
"""

from harness import equal, until

CHECKS = []
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
S3_READ_ONLY = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
NOWHERE = "arn:aws:sso:::permissionSet/{}/ps-0000000000000000"
NOBODY = "00000000-0000-4000-8000-000000000000"


def check(title):
    def add(function):
        CHECKS.append((title, function))
        return function

    return add


def made(aws, name, **more):
    """A permission set that reads show."""
    arn = aws.sso("CreatePermissionSet", Name=name, **more)["PermissionSet"]["PermissionSetArn"]
    seen(aws, arn)
    return arn


def seen(aws, arn):
    def look():
        return arn in aws.pages("sso-admin", "ListPermissionSets", "PermissionSets")

    until(f"{arn} is listed", look)


def group(aws, name):
    found = aws.store("CreateGroup", DisplayName=name)["GroupId"]
    until(f"{name} is listed", lambda: found in [g["GroupId"] for g in aws.store("ListGroups")["Groups"]])
    return found


def user(aws, name, **more):
    found = aws.store(
        "CreateUser",
        UserName=name,
        DisplayName="Some Body",
        Name={"GivenName": "Some", "FamilyName": "Body"},
        **more,
    )["UserId"]
    until(f"{name} is listed", lambda: found in [u["UserId"] for u in aws.store("ListUsers")["Users"]])
    return found


def nowhere(aws):
    return NOWHERE.format(aws.defaults["InstanceArn"].rsplit("/", 1)[1])


def assigned(aws, arn, account, kind, principal):
    """An assignment with its role in place."""
    key = {
        "PermissionSetArn": arn,
        "TargetId": account,
        "TargetType": "AWS_ACCOUNT",
        "PrincipalType": kind,
        "PrincipalId": principal,
    }
    status = aws.sso("CreateAccountAssignment", **key)["AccountAssignmentCreationStatus"]
    ended(aws, "Creation", status["RequestId"])

    def look():
        found = aws.sso("ListAccountAssignments", PermissionSetArn=arn, AccountId=account)
        return principal in [a["PrincipalId"] for a in found["AccountAssignments"]]

    until("the assignment is listed", look)
    return key


def ended(aws, kind, request, expected="SUCCEEDED"):
    """The final status of a creation or deletion."""

    def look():
        found = aws.sso(
            f"DescribeAccountAssignment{kind}Status", **{f"AccountAssignment{kind}RequestId": request}
        )[f"AccountAssignment{kind}Status"]
        return found if found["Status"] != "IN_PROGRESS" else None

    status = until(f"{kind} {request} ends", look)
    equal(status["Status"], expected)
    return status


@check("an instance is found")
def instance(aws):
    found = aws.pages("sso-admin", "ListInstances", "Instances", size=1)
    equal([i["InstanceArn"] for i in found], [aws.defaults["InstanceArn"]])
    equal(found[0]["IdentityStoreId"], aws.defaults["IdentityStoreId"])


@check("a permission set lives from creation to deletion")
def permission_set(aws):
    wanted = {
        "Name": "Life",
        "Description": "From creation to deletion",
        "SessionDuration": "PT4H",
        "RelayState": "https://console.aws.amazon.com/",
        "Tags": [{"Key": "team", "Value": "shop"}],
    }
    created = aws.sso("CreatePermissionSet", **wanted)["PermissionSet"]
    arn = created["PermissionSetArn"]
    seen(aws, arn)
    shown = aws.sso("DescribePermissionSet", PermissionSetArn=arn)["PermissionSet"]
    for name in ("Name", "Description", "SessionDuration", "RelayState"):
        equal(shown[name], wanted[name])
    aws.sso("UpdatePermissionSet", PermissionSetArn=arn, Description="Changed", SessionDuration="PT2H")

    def look():
        return aws.sso("DescribePermissionSet", PermissionSetArn=arn)["PermissionSet"]["Description"] == "Changed"

    until("the update is seen", look)
    aws.sso("DeletePermissionSet", PermissionSetArn=arn)

    def listed():
        return arn not in aws.pages("sso-admin", "ListPermissionSets", "PermissionSets")

    until("the set is gone", listed)
    with aws.refused("ResourceNotFoundException"):
        aws.sso("DescribePermissionSet", PermissionSetArn=arn)
    with aws.refused("ResourceNotFoundException"):
        aws.sso("DeletePermissionSet", PermissionSetArn=arn)


@check("a second permission set of one name is refused")
def second_set(aws):
    made(aws, "Twice")
    with aws.refused("ConflictException"):
        aws.sso("CreatePermissionSet", Name="Twice")


@check("permission sets come in pages")
def permission_set_pages(aws):
    arns = {made(aws, f"Page{i}") for i in range(5)}
    found = aws.pages("sso-admin", "ListPermissionSets", "PermissionSets", size=2)
    assert arns <= set(found) and len(found) == len(set(found)), found
    paginator = aws.client("sso-admin").get_paginator("list_permission_sets")
    pages = paginator.paginate(InstanceArn=aws.defaults["InstanceArn"], PaginationConfig={"PageSize": 3})
    assert arns <= {arn for page in pages for arn in page["PermissionSets"]}


@check("AWS managed policies are attached and detached")
def managed_policies(aws):
    arn = made(aws, "Managed")
    for policy in (READ_ONLY, S3_READ_ONLY):
        aws.sso("AttachManagedPolicyToPermissionSet", PermissionSetArn=arn, ManagedPolicyArn=policy)

    def names(size=None):
        found = aws.pages(
            "sso-admin", "ListManagedPoliciesInPermissionSet", "AttachedManagedPolicies", size, PermissionSetArn=arn
        )
        return sorted(p["Name"] for p in found)

    until("both are listed", lambda: names(1) == ["AmazonS3ReadOnlyAccess", "ReadOnlyAccess"])
    with aws.refused("ConflictException"):
        aws.sso("AttachManagedPolicyToPermissionSet", PermissionSetArn=arn, ManagedPolicyArn=READ_ONLY)
    aws.sso("DetachManagedPolicyFromPermissionSet", PermissionSetArn=arn, ManagedPolicyArn=READ_ONLY)
    until("one is left", lambda: names() == ["AmazonS3ReadOnlyAccess"])
    with aws.refused("ResourceNotFoundException"):
        aws.sso("DetachManagedPolicyFromPermissionSet", PermissionSetArn=arn, ManagedPolicyArn=READ_ONLY)
    with aws.refused("ResourceNotFoundException"):
        aws.sso("AttachManagedPolicyToPermissionSet", PermissionSetArn=nowhere(aws), ManagedPolicyArn=READ_ONLY)


@check("customer managed policies are attached and detached by reference")
def customer_policies(aws):
    arn = made(aws, "Customer")
    references = [{"Name": "one", "Path": "/"}, {"Name": "two", "Path": "/a/"}]

    def attach(reference):
        aws.sso(
            "AttachCustomerManagedPolicyReferenceToPermissionSet",
            PermissionSetArn=arn,
            CustomerManagedPolicyReference=reference,
        )

    def detach(reference):
        aws.sso(
            "DetachCustomerManagedPolicyReferenceFromPermissionSet",
            PermissionSetArn=arn,
            CustomerManagedPolicyReference=reference,
        )

    def listed(size=None):
        return aws.pages(
            "sso-admin",
            "ListCustomerManagedPolicyReferencesInPermissionSet",
            "CustomerManagedPolicyReferences",
            size,
            PermissionSetArn=arn,
        )

    for reference in references:
        attach(reference)
    until("both are listed", lambda: listed(1) == references)
    with aws.refused("ConflictException"):
        attach(references[0])
    detach(references[0])
    until("one is left", lambda: listed() == references[1:])
    with aws.refused("ResourceNotFoundException"):
        detach(references[0])


@check("an inline policy is put, read and deleted")
def inline_policy(aws):
    arn = made(aws, "Inline")

    def text():
        return aws.sso("GetInlinePolicyForPermissionSet", PermissionSetArn=arn)["InlinePolicy"]

    equal(text(), "")
    policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*"}]}'
    aws.sso("PutInlinePolicyToPermissionSet", PermissionSetArn=arn, InlinePolicy=policy)
    until("the policy is seen", lambda: text() == policy)
    aws.sso("DeleteInlinePolicyFromPermissionSet", PermissionSetArn=arn)
    until("the policy is gone", lambda: text() == "")


@check("an assignment is created, found by everybody who asks, and deleted")
def assignment(aws):
    arn, account = made(aws, "Assigned"), aws.accounts[0]
    principal = group(aws, "scenario-assigned")
    key = assigned(aws, arn, account, "GROUP", principal)
    found = aws.sso("ListAccountAssignments", PermissionSetArn=arn, AccountId=account)["AccountAssignments"]
    equal(
        found,
        [{"AccountId": account, "PermissionSetArn": arn, "PrincipalType": "GROUP", "PrincipalId": principal}],
    )
    theirs = aws.pages(
        "sso-admin",
        "ListAccountAssignmentsForPrincipal",
        "AccountAssignments",
        PrincipalId=principal,
        PrincipalType="GROUP",
    )
    equal([(a["AccountId"], a["PermissionSetArn"]) for a in theirs], [(account, arn)])
    status = aws.sso("DeleteAccountAssignment", **key)["AccountAssignmentDeletionStatus"]
    ended(aws, "Deletion", status["RequestId"])
    with aws.refused("ResourceNotFoundException"):
        aws.sso("DeleteAccountAssignment", **key)


@check("a set that is assigned cannot be deleted")
def assigned_set(aws):
    arn = made(aws, "Held")
    assigned(aws, arn, aws.accounts[1], "GROUP", group(aws, "scenario-held"))
    with aws.refused("ConflictException"):
        aws.sso("DeletePermissionSet", PermissionSetArn=arn)


@check("an assignment puts its set into the account, and takes it out again")
def provisioned(aws):
    arn, account = made(aws, "Placed"), aws.accounts[1]
    key = assigned(aws, arn, account, "GROUP", group(aws, "scenario-placed"))

    def accounts():
        return aws.sso("ListAccountsForProvisionedPermissionSet", PermissionSetArn=arn)["AccountIds"]

    equal(accounts(), [account])
    assert arn in aws.sso("ListPermissionSetsProvisionedToAccount", AccountId=account)["PermissionSets"]
    status = aws.sso("DeleteAccountAssignment", **key)["AccountAssignmentDeletionStatus"]
    ended(aws, "Deletion", status["RequestId"])
    until("the account is let go", lambda: not accounts())


@check("assignments come in pages")
def assignment_pages(aws):
    arn, account = made(aws, "Pages"), aws.accounts[1]
    principals = sorted(user(aws, f"page{i}@acme.example") for i in range(3))
    keys = [assigned(aws, arn, account, "USER", principal) for principal in principals]
    found = aws.pages(
        "sso-admin", "ListAccountAssignments", "AccountAssignments", 2, PermissionSetArn=arn, AccountId=account
    )
    equal(sorted(a["PrincipalId"] for a in found), principals)
    for key in keys:
        ended(
            aws,
            "Deletion",
            aws.sso("DeleteAccountAssignment", **key)["AccountAssignmentDeletionStatus"]["RequestId"],
        )


@check("a changed set is provisioned into its accounts")
def provisioning(aws):
    arn, account = made(aws, "Provisioned"), aws.accounts[0]
    key = assigned(aws, arn, account, "GROUP", group(aws, "scenario-provisioned"))
    aws.sso("AttachManagedPolicyToPermissionSet", PermissionSetArn=arn, ManagedPolicyArn=READ_ONLY)
    status = aws.sso("ProvisionPermissionSet", PermissionSetArn=arn, TargetType="ALL_PROVISIONED_ACCOUNTS")
    assert status["PermissionSetProvisioningStatus"]["RequestId"]

    def delete():
        # What is still under way in the account comes first.
        try:
            return aws.sso("DeleteAccountAssignment", **key)["AccountAssignmentDeletionStatus"]["RequestId"]
        except aws.client("sso-admin").exceptions.ConflictException:
            return None

    ended(aws, "Deletion", until("the deletion is accepted", delete))


@check("users of the identity store")
def users(aws):
    email = {"Value": "kim@acme.example", "Type": "work", "Primary": True}
    kim = user(aws, "kim@acme.example", Emails=[email])
    shown = aws.store("DescribeUser", UserId=kim)
    equal((shown["UserName"], shown["Name"]["GivenName"]), ("kim@acme.example", "Some"))
    equal(shown["Emails"], [email])
    identifier = {"UniqueAttribute": {"AttributePath": "userName", "AttributeValue": "kim@acme.example"}}
    equal(aws.store("GetUserId", AlternateIdentifier=identifier)["UserId"], kim)
    with aws.refused("ConflictException"):
        user(aws, "kim@acme.example")
    assert kim in [u["UserId"] for u in aws.pages("identitystore", "ListUsers", "Users", size=2)]
    only = [{"AttributePath": "UserName", "AttributeValue": "kim@acme.example"}]
    equal([u["UserId"] for u in aws.store("ListUsers", Filters=only)["Users"]], [kim])
    aws.store("DeleteUser", UserId=kim)
    until("kim is gone", lambda: kim not in [u["UserId"] for u in aws.store("ListUsers")["Users"]])
    with aws.refused("ResourceNotFoundException") as refusal:
        aws.store("DescribeUser", UserId=kim)
    equal(refusal.response["ResourceType"], "USER")


@check("a user is found by the e-mail address")
def by_email(aws):
    pat = user(aws, "pat@acme.example", Emails=[{"Value": "pat@mail.example", "Type": "work", "Primary": True}])
    identifier = {"UniqueAttribute": {"AttributePath": "emails.value", "AttributeValue": "pat@mail.example"}}
    equal(aws.store("GetUserId", AlternateIdentifier=identifier)["UserId"], pat)


@check("groups of the identity store")
def groups(aws):
    crew = group(aws, "crew")
    equal(aws.store("DescribeGroup", GroupId=crew)["DisplayName"], "crew")
    identifier = {"UniqueAttribute": {"AttributePath": "displayName", "AttributeValue": "crew"}}
    equal(aws.store("GetGroupId", AlternateIdentifier=identifier)["GroupId"], crew)
    with aws.refused("ConflictException"):
        group(aws, "crew")
    group(aws, "crew-two")
    assert crew in [g["GroupId"] for g in aws.pages("identitystore", "ListGroups", "Groups", size=1)]
    only = [{"AttributePath": "DisplayName", "AttributeValue": "crew"}]
    equal([g["GroupId"] for g in aws.store("ListGroups", Filters=only)["Groups"]], [crew])
    aws.store("DeleteGroup", GroupId=crew)
    until("crew is gone", lambda: crew not in [g["GroupId"] for g in aws.store("ListGroups")["Groups"]])
    with aws.refused("ResourceNotFoundException") as refusal:
        aws.store("DescribeGroup", GroupId=crew)
    equal(refusal.response["ResourceType"], "GROUP")
    with aws.refused("ResourceNotFoundException"):
        aws.store("GetGroupId", AlternateIdentifier=identifier)


@check("memberships of the identity store")
def memberships(aws):
    crew, member = group(aws, "crew-members"), {"UserId": user(aws, "member@acme.example")}
    other = {"UserId": user(aws, "other@acme.example")}
    joined = aws.store("CreateGroupMembership", GroupId=crew, MemberId=member)["MembershipId"]
    aws.store("CreateGroupMembership", GroupId=crew, MemberId=other)

    def members():
        found = aws.pages("identitystore", "ListGroupMemberships", "GroupMemberships", 1, GroupId=crew)
        return sorted(m["MemberId"]["UserId"] for m in found)

    until("both are members", lambda: members() == sorted([member["UserId"], other["UserId"]]))
    equal(aws.store("GetGroupMembershipId", GroupId=crew, MemberId=member)["MembershipId"], joined)
    equal(aws.store("DescribeGroupMembership", MembershipId=joined)["GroupId"], crew)
    theirs = aws.store("ListGroupMembershipsForMember", MemberId=member)["GroupMemberships"]
    equal([m["GroupId"] for m in theirs], [crew])
    results = aws.store("IsMemberInGroups", MemberId=member, GroupIds=[crew])["Results"]
    equal([(r["GroupId"], r["MembershipExists"]) for r in results], [(crew, True)])
    aws.store("DeleteGroupMembership", MembershipId=joined)
    until("one is left", lambda: members() == [other["UserId"]])
    with aws.refused("ResourceNotFoundException"):
        aws.store("GetGroupMembershipId", GroupId=crew, MemberId=member)


@check("a second membership of one user in one group is refused")
def second_membership(aws):
    crew, member = group(aws, "crew-twice"), {"UserId": user(aws, "twice@acme.example")}
    aws.store("CreateGroupMembership", GroupId=crew, MemberId=member)
    with aws.refused("ConflictException"):
        aws.store("CreateGroupMembership", GroupId=crew, MemberId=member)


@check("the organization, its accounts and units")
def organization(aws):
    found = aws.organization("DescribeOrganization")["Organization"]
    equal(found["MasterAccountId"], aws.management)
    accounts = aws.pages("organizations", "ListAccounts", "Accounts", size=1)
    assert {*aws.accounts, aws.management} <= {a["Id"] for a in accounts}
    shown = aws.organization("DescribeAccount", AccountId=aws.accounts[0])["Account"]
    equal((shown["Id"], shown["Status"]), (aws.accounts[0], "ACTIVE"))
    (root,) = aws.organization("ListRoots")["Roots"]
    units = aws.pages(
        "organizations", "ListOrganizationalUnitsForParent", "OrganizationalUnits", 1, ParentId=root["Id"]
    )
    equal([u["Name"] for u in units], ["Workloads"])
    unit = aws.organization("DescribeOrganizationalUnit", OrganizationalUnitId=units[0]["Id"])["OrganizationalUnit"]
    equal(unit["Name"], "Workloads")
    below = aws.organization("ListOrganizationalUnitsForParent", ParentId=unit["Id"])["OrganizationalUnits"]
    equal(sorted(u["Name"] for u in below), ["Dev", "Prod"])
    prod = next(u for u in below if u["Name"] == "Prod")
    here = aws.pages("organizations", "ListAccountsForParent", "Accounts", 1, ParentId=prod["Id"])
    equal([a["Id"] for a in here], [aws.accounts[0]])
    children = aws.organization("ListChildren", ParentId=root["Id"], ChildType="ORGANIZATIONAL_UNIT")["Children"]
    equal([c["Id"] for c in children], [unit["Id"]])
    parents = aws.organization("ListParents", ChildId=aws.accounts[0])["Parents"]
    equal(parents, [{"Id": prod["Id"], "Type": "ORGANIZATIONAL_UNIT"}])
    tags = aws.organization("ListTagsForResource", ResourceId=aws.accounts[0])["Tags"]
    equal(sorted((t["Key"], t["Value"]) for t in tags), [("env", "prod"), ("team", "shop")])
    with aws.refused("AccountNotFoundException"):
        aws.organization("DescribeAccount", AccountId="999999999999")
    with aws.refused("ParentNotFoundException"):
        aws.organization("ListAccountsForParent", ParentId="ou-zzzz-zzzzzzzz")
    with aws.refused("TargetNotFoundException"):
        aws.organization("ListTagsForResource", ResourceId="999999999999")


@check("the parents of an account that does not exist")
def parents(aws):
    with aws.refused("ChildNotFoundException"):
        aws.organization("ListParents", ChildId="999999999999")


@check("delegated administrators")
def delegation(aws):
    service = "sso.amazonaws.com"
    found = aws.organization("ListDelegatedAdministrators", ServicePrincipal=service)["DelegatedAdministrators"]
    equal(len(found), 1)


@check("trusted services")
def trusted_services(aws):
    trusted = aws.organization("ListAWSServiceAccessForOrganization")["EnabledServicePrincipals"]
    equal([s["ServicePrincipal"] for s in trusted], ["sso.amazonaws.com"])


@check("who am I")
def identity(aws):
    found = aws.call("sts", "GetCallerIdentity")
    equal(found["Account"], aws.management)


@check("roles and policies of the caller's own account")
def iam(aws):
    role = aws.call("iam", "GetRole", RoleName="operations")["Role"]
    assert role["Arn"].endswith(":role/operations"), role
    roles = aws.call("iam", "ListRoles", PathPrefix="/")["Roles"]
    assert "operations" in [r["RoleName"] for r in roles]
    assert isinstance(role["AssumeRolePolicyDocument"], dict), "the trust policy is decoded by botocore"
    policies = aws.call("iam", "ListPolicies", Scope="Local", MaxItems=1)
    assert policies["IsTruncated"] and len(policies["Policies"]) == 1
    more = aws.call("iam", "ListPolicies", Scope="Local", Marker=policies["Marker"])["Policies"]
    names = sorted(p["PolicyName"] for p in policies["Policies"] + more)
    equal(names, ["engineers-boundary", "engineers-extra"])
    shown = aws.call("iam", "GetPolicy", PolicyArn=more[0]["Arn"])["Policy"]
    equal(shown["PolicyName"], more[0]["PolicyName"])
    with aws.refused("NoSuchEntity", typed=False):
        aws.call("iam", "GetRole", RoleName="nobody")
    with aws.refused("NoSuchEntity", typed=False):
        aws.call("iam", "GetPolicy", PolicyArn=more[0]["Arn"] + "x")
