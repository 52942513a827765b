"""The journey at Entra with the Graph SDK: from an empty tenant to people who are provisioned."""

import base64
import datetime
import json

import entra_provisioning
from entra_sdk import LIMITED, Tenant, get, model, refused, refused_token, sdk_class, until
from entra_suite import application, check, control, gone, graph, made, principal, suite, tenant, there
from harness import equal
from msgraph_core.requests.batch_request_content import BatchRequestContent
from msgraph_core.requests.batch_request_item import BatchRequestItem
from msgraph_core.tasks.page_iterator import PageIterator

IDENTITY_CENTER = "21ed01d2-ec13-4e9e-86c1-cd546719ebc4"
NOBODY = "00000000-0000-4000-8000-000000000000"
EVENTUAL = {"ConsistencyLevel": "eventual"}


@check("a token is issued for the right secret, and for no other")
async def _():
    found = tenant.credential().get_token("https://graph.microsoft.com/.default")
    assert found.expires_on > datetime.datetime.now().timestamp() + 3000
    refused_token(tenant, "AADSTS7000215", secret="wrong")
    refused_token(tenant, "AADSTS700016", client=NOBODY)
    refused_token(tenant, "Unable to get authority configuration", directory=NOBODY)


@check("users are listed, filtered and read")
async def _():
    found = await graph.users.get()
    equal(len(found.value), 4)

    async def by(term):
        found = await get(graph.users, filter=term, select=["id", "userPrincipalName"])
        return [u.user_principal_name for u in found.value]

    equal(await by("userPrincipalName eq 'o''brien@acme.example'"), ["o'brien@acme.example"])
    equal(await by("startswith(displayName,'Ada')"), ["ada@acme.example"])
    equal(await by("mail eq 'nobody@acme.example'"), [])
    (one,) = (await get(graph.users, filter="userPrincipalName eq 'ada@acme.example'")).value
    shown = await graph.users.by_user_id(one.id).get()
    equal((shown.display_name, shown.account_enabled), ("Ada Lindqvist", None))
    selected = await get(graph.users.by_user_id("ada@acme.example"), select=["accountEnabled", "department"])
    equal((selected.account_enabled, selected.department), (True, "Platform"))
    await refused("Request_ResourceNotFound", graph.users.by_user_id(NOBODY).get(), 404)


@check("collections come in pages, and their links are followed")
async def _():
    first = await get(graph.users, top=1, select=["id"])
    assert first.odata_next_link.startswith(tenant.entra["graph"]), first.odata_next_link
    seen = []
    await PageIterator(first, tenant.adapter).iterate(lambda item: seen.append(item.id) or True)
    equal((len(seen), len(set(seen))), (4, 4))


@check("advanced queries need the header, and unknown properties are refused")
async def _():
    counted = await get(graph.users, EVENTUAL, count=True, filter="endsWith(mail,'@acme.example')", top=1)
    equal(counted.odata_count, 3)
    await refused("Request_UnsupportedQuery", get(graph.users, filter="endsWith(mail,'@acme.example')"), 400)
    await refused("Request_UnsupportedQuery", get(graph.users, filter="employeeHireDate eq null"), 400)
    await refused("BadRequest", get(graph.users, select=["nothing"]), 400)


@check("groups, direct and transitive members")
async def _():
    (engineers,) = (await get(graph.groups, filter="displayName eq 'aws-engineers'")).value
    equal((engineers.security_enabled, engineers.mail_enabled), (True, False))
    one = graph.groups.by_group_id(engineers.id)
    equal((await one.get()).display_name, "aws-engineers")
    kinds = sorted(type(m).__name__ for m in (await one.members.get()).value)
    equal(kinds, ["Group", "User"])
    people = (await get(one.members.graph_user, EVENTUAL, count=True)).value
    equal([p.user_principal_name for p in people], ["ada@acme.example"])
    equal(len((await get(one.transitive_members, EVENTUAL, count=True)).value), 3)
    below = (await get(one.transitive_members.graph_user, EVENTUAL, count=True)).value
    equal(sorted(p.user_principal_name for p in below), ["ada@acme.example", "ben@acme.example"])
    body = sdk_class("directory_objects.get_by_ids", "GetByIdsPostRequestBody")(
        ids=[engineers.id, people[0].id, NOBODY], types=["user", "group"]
    )
    found = (await graph.directory_objects.get_by_ids.post(body)).value
    equal(sorted(type(o).__name__ for o in found), ["Group", "User"])
    shown = await graph.directory_objects.by_directory_object_id(people[0].id).get()
    equal(type(shown).__name__, "User")


@check("the directory's administrator makes, changes and deletes people and groups")
async def _():
    user = await graph.users.post(
        model(
            "User",
            account_enabled=True,
            display_name="New",
            mail_nickname="new",
            user_principal_name="new@acme.example",
            password_profile=model("PasswordProfile", password="xWwvJ]6NMw+bWH-d"),
        )
    )
    group = await graph.groups.post(
        model("Group", display_name="new", mail_enabled=False, mail_nickname="new", security_enabled=True)
    )
    person, crew = graph.users.by_user_id(user.id), graph.groups.by_group_id(group.id)
    reference = model("ReferenceCreate", odata_id=f"https://graph.microsoft.com/v1.0/directoryObjects/{user.id}")
    await until("both are there", lambda: there(person, crew))
    await crew.members.ref.post(reference)
    await until("a member", crew.members.get, lambda m: [x.id for x in m.value] == [user.id])
    await refused("Request_BadRequest", crew.members.ref.post(reference), 400)
    await crew.members.by_directory_object_id(user.id).ref.delete()
    await until("no member", crew.members.get, lambda m: not m.value)
    await person.patch(model("User", department="New"))
    await crew.patch(model("Group", display_name="newer"))
    await until("the change", crew.get, lambda g: g.display_name == "newer")
    await person.delete()
    await crew.delete()
    await until("gone", lambda: gone(person, crew), bool)
    # Security groups do not go into the recycle bin.
    bin_ = graph.directory.deleted_items
    equal([len((await b.get()).value) for b in (bin_.graph_user, bin_.graph_group)], [1, 0])


@check("the gallery's templates, and an application made from one, which shows after a while")
async def _():
    found = await get(graph.application_templates, filter="displayName eq 'AWS Single-Account Access'")
    equal([t.id for t in found.value], ["8b1025e4-1dd2-430b-a150-2ef79cd700f5"])
    template = graph.application_templates.by_application_template_id(IDENTITY_CENTER)
    assert "saml" in (await template.get()).supported_single_sign_on_modes
    body = sdk_class("application_templates.item.instantiate", "InstantiatePostRequestBody")(display_name="AWS")
    both = await template.instantiate.post(body)
    made.application, made.app_id = both.application.id, both.application.app_id
    made.principal = both.service_principal.id
    one = principal()
    shown = await until("the service principal", one.get, in_a_row=5)
    equal((shown.app_id, shown.application_template_id), (made.app_id, IDENTITY_CENTER))
    await until("the application", graph.applications.by_application_id(made.application).get, in_a_row=5)
    for builder in (graph.applications, graph.service_principals):
        equal([o.app_id for o in (await get(builder, filter=f"appId eq '{made.app_id}'")).value], [made.app_id])
    equal((await graph.applications_with_app_id(made.app_id).get()).id, made.application)
    equal((await graph.service_principals_with_app_id(made.app_id).get()).id, made.principal)
    by_name = f"applicationTemplateId eq '{IDENTITY_CENTER}' and displayName eq 'AWS'"
    equal(len((await get(graph.applications, filter=by_name)).value), 1)


@check("identifiers and reply URLs, once the mode is SAML")
async def _():
    control.post("/console/aws/enable-identity-center")
    xml = control.get("/console/aws/service-provider-metadata")
    entity_id, acs = xml.split('entityID="')[1].split('"')[0], xml.split('Location="')[1].split('"')[0]
    urls = model("Application", identifier_uris=[entity_id], web=model("WebApplication", redirect_uris=[acs]))
    error = await refused("HostNameNotOnVerifiedDomain", application().patch(urls), 400)
    equal(error.error.details[0].target, "identifierUris")
    await principal().patch(model("ServicePrincipal", preferred_single_sign_on_mode="saml"))
    await until("SAML mode", principal().get, lambda p: p.preferred_single_sign_on_mode == "saml", in_a_row=5)
    await application().patch(urls)
    settings = model("SamlSingleSignOnSettings", relay_state="https://eu-west-1.console.aws.amazon.com/")
    mails = ["idp@acme.example"]
    await principal().patch(
        model("ServicePrincipal", saml_single_sign_on_settings=settings, notification_email_addresses=mails)
    )
    shown = await until("the reply URL", principal().get, lambda p: p.reply_urls == [acs])
    assert entity_id in shown.service_principal_names
    term = f"identifierUris/any(u:u eq '{entity_id}')"
    found = await until("it is found by that", lambda: get(graph.applications, filter=term), lambda a: a.value)
    equal([a.id for a in found.value], [made.application])
    await refused("Request_BadRequest", application().patch(model("Application", additional_data={"nothing": 1})))


@check("a token-signing certificate is three records, and is activated by its thumbprint")
async def _():
    body = sdk_class(
        "service_principals.item.add_token_signing_certificate", "AddTokenSigningCertificatePostRequestBody"
    )
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=700)
    add = principal().add_token_signing_certificate
    certificate = await add.post(body(display_name="CN=aws", end_date_time=end))
    thumbprint = certificate.custom_key_identifier.hex().upper()
    equal(certificate.thumbprint, thumbprint)
    await refused("Request_BadRequest", add.post(body(display_name="aws", end_date_time=end)))

    def keys():
        return get(principal(), select=["keyCredentials", "passwordCredentials", "preferredTokenSigningKeyThumbprint"])

    shown = await until("three records", keys, lambda p: len(p.key_credentials) == 2)
    equal(sorted(k.usage for k in shown.key_credentials), ["Sign", "Verify"])
    sign = next(k for k in shown.key_credentials if k.usage == "Sign")
    equal((str(sign.key_id), sign.key), (str(certificate.key_id), None))
    verify = next(k for k in shown.key_credentials if k.usage == "Verify")
    equal(verify.key, certificate.key)
    equal([str(p.key_id) for p in shown.password_credentials], [str(certificate.key_id)])
    assert all(k.key is None for k in (await principal().get()).key_credentials), "the key shows only when selected"
    await principal().patch(model("ServicePrincipal", preferred_token_signing_key_thumbprint=thumbprint))
    await until("it is active", keys, lambda p: p.preferred_token_signing_key_thumbprint == thumbprint)
    assert base64.b64encode(certificate.key).decode() in await tenant.federation_metadata(made.app_id)
    for builder, name in ((principal().remove_key, "RemoveKey"), (principal().remove_password, "RemovePassword")):
        kind = sdk_class(f"service_principals.item.{name[:6].lower()}_{name[6:].lower()}", f"{name}PostRequestBody")
        await refused("InternalServerError", builder.post(kind(key_id=certificate.key_id)), 500)


@check("people and groups are assigned to a role, once")
async def _():
    (engineers,) = (await get(graph.groups, filter="displayName eq 'aws-engineers'")).value
    ada = await graph.users.by_user_id("ada@acme.example").get()
    role = next(r for r in (await principal().get()).app_roles if r.display_name == "User")
    ids = lambda who: {"principal_id": who, "resource_id": made.principal, "app_role_id": role.id}  # noqa: E731
    for who, kind in ((engineers.id, "Group"), (ada.id, "User")):
        made.assignment = await principal().app_role_assigned_to.post(model("AppRoleAssignment", **ids(who)))
        equal(made.assignment.principal_type, kind)
    error = await refused(
        "Request_BadRequest", principal().app_role_assigned_to.post(model("AppRoleAssignment", **ids(ada.id))), 400
    )
    equal(error.error.message, "Permission being assigned already exists on the object")
    wrong = {**ids(ada.id), "app_role_id": NOBODY}
    await refused("Request_BadRequest", principal().app_role_assigned_to.post(model("AppRoleAssignment", **wrong)))

    def named(name):
        return get(principal().app_role_assigned_to, filter=f"principalDisplayName eq '{name}'")

    await until("it is listed", lambda: named("Ada Lindqvist"), lambda a: len(a.value) == 1)
    one = principal().app_role_assigned_to.by_app_role_assignment_id(made.assignment.id)
    equal((await one.get()).principal_display_name, "Ada Lindqvist")
    for builder in (graph.users.by_user_id(ada.id), graph.groups.by_group_id(engineers.id)):
        found = await until("it is theirs", builder.app_role_assignments.get, lambda a: a.value)
        equal([str(a.resource_id) for a in found.value], [made.principal])
    await one.delete()
    await until("it is gone", principal().app_role_assigned_to.get, lambda a: len(a.value) == 1)
    await refused("Request_ResourceNotFound", one.delete(), 404)


@check("an enabled role cannot be taken away, a disabled one can")
async def _():
    before = (await application().get()).app_roles
    own = {"id": NOBODY, "display_name": "Own", "description": "Own", "allowed_member_types": ["User"]}
    # `origin` is read-only and is not sent back.
    kept = [
        model(
            "AppRole",
            id=r.id,
            display_name=r.display_name,
            description=r.description,
            value=r.value,
            is_enabled=r.is_enabled,
            allowed_member_types=r.allowed_member_types,
        )
        for r in before
    ]

    def roles(*more):
        return application().patch(model("Application", app_roles=[*kept, *more]))

    await roles(model("AppRole", **own, value="own", is_enabled=True))
    await until("three roles", application().get, lambda a: len(a.app_roles) == 3)
    await refused("CannotDeleteOrUpdateEnabledEntitlement", roles(), 400)
    await roles(model("AppRole", **own, value="own", is_enabled=False))
    await until("one is off", application().get, lambda a: not all(r.is_enabled for r in a.app_roles), in_a_row=5)
    await roles()
    await until("two roles", application().get, lambda a: len(a.app_roles) == 2)
    # The same through the service principal, whose roles mirror the application's.
    await until("two roles there too", principal().get, lambda p: len(p.app_roles) == 2, in_a_row=5)
    await principal().patch(model("ServicePrincipal", app_roles=kept))


@check("owners are added")
async def _():
    me = await graph.service_principals_with_app_id(tenant.id).get()
    reference = model("ReferenceCreate", odata_id=f"https://graph.microsoft.com/v1.0/directoryObjects/{me.id}")
    for builder in (application(), principal()):
        equal((await builder.owners.get()).value, [])
        await builder.owners.ref.post(reference)
        equal([o.id for o in (await builder.owners.get()).value], [me.id])


entra_provisioning.run()


@check("claims mapping policies are made, attached, found and detached")
async def _():
    policies = graph.policies.claims_mapping_policies
    name_id = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier"
    entry = {"Source": "user", "ID": "mail", "SamlClaimType": name_id}
    definition = {"ClaimsMappingPolicy": {"Version": 1, "IncludeBasicClaimSet": "true", "ClaimsSchema": [entry]}}
    wanted = {"display_name": "aws", "is_organization_default": False}
    policy = await policies.post(model("ClaimsMappingPolicy", definition=[json.dumps(definition)], **wanted))
    one = policies.by_claims_mapping_policy_id(policy.id)
    equal(json.loads((await one.get()).definition[0]), definition)
    await refused("Request_BadRequest", policies.post(model("ClaimsMappingPolicy", definition=["{}"], **wanted)))
    await one.patch(model("ClaimsMappingPolicy", display_name="aws-two"))
    equal([p.display_name for p in (await policies.get()).value], ["aws-two"])
    reference = model(
        "ReferenceCreate", odata_id=f"https://graph.microsoft.com/v1.0/policies/claimsMappingPolicies/{policy.id}"
    )
    await principal().claims_mapping_policies.ref.post(reference)
    await refused("Request_BadRequest", principal().claims_mapping_policies.ref.post(reference), 400)
    equal([p.id for p in (await principal().claims_mapping_policies.get()).value], [policy.id])
    equal([o.id for o in (await one.applies_to.get()).value], [made.principal])
    await principal().claims_mapping_policies.by_claims_mapping_policy_id(policy.id).ref.delete()
    again = principal().claims_mapping_policies.by_claims_mapping_policy_id(policy.id).ref.delete()
    await refused("Request_BadRequest", again, 400)
    await one.delete()
    await refused("Request_ResourceNotFound", one.get(), 404)


@check("a batch answers in any order, each item for itself")
async def _():
    items = BatchRequestContent()
    for identity, path in (("1", "/users/ada@acme.example"), ("2", f"/users/{NOBODY}"), ("3", "/groups")):
        request = graph.users.to_get_request_information()
        item = BatchRequestItem(request, identity)
        # The SDK would send whole URLs, where the documentation has relative ones without version.
        item.set_url(path)
        items.add_request(identity, item)
    found = await graph.batch.post(items)
    equal({i: r.status for i, r in found.responses.items()}, {"1": 200, "2": 404, "3": 200})


@check("a deleted application is in the recycle bin, comes back, and is purged")
async def _():
    bin_ = graph.directory.deleted_items
    await principal().delete()
    await until("its principal is gone", lambda: gone(principal()), bool, in_a_row=5)
    equal([o.id for o in (await bin_.graph_service_principal.get()).value], [made.principal])
    await bin_.by_directory_object_id(made.principal).restore.post()
    await until("its principal is back", principal().get, in_a_row=5)
    await application().delete()
    await until("it is gone", lambda: gone(application(), principal()), bool, in_a_row=5)
    equal([o.id for o in (await bin_.graph_application.get()).value], [made.application])
    one = bin_.by_directory_object_id(made.application)
    equal((await one.get()).id, made.application)
    await one.delete()
    await refused("Request_ResourceNotFound", one.get(), 404)


@check("a missing permission is refused, by provisioning in its own way")
async def _():
    limited = Tenant(suite.descriptor, LIMITED)
    await limited.graph.users.get()
    await refused("Authorization_RequestDenied", limited.graph.groups.get(), 403)
    await refused("Authorization_RequestDenied", limited.graph.applications.get(), 403)
    me = await graph.service_principals_with_app_id(tenant.id).get()
    error = await refused(
        "UnknownError",
        limited.graph.service_principals.by_service_principal_id(me.id).synchronization.jobs.get(),
        401,
    )
    equal(error.error.message, "")


@check("throttles: the SDK waits and gets through, a client that does not is told")
async def _():
    users = {"service": "graph", "operation": "GET /users"}
    with control.fault(**users, kind="throttle", retryAfter=1):
        await graph.users.get()
    plain = Tenant(suite.descriptor, retries=False)
    with control.fault(**users, kind="throttle", retryAfter=2.128):
        error = await refused("TooManyRequests", plain.graph.users.get(), 429)
    equal(error.response_headers["retry-after"], "2.128")
    with control.fault(**users, kind="error", status=503, code="Directory_ConcurrencyViolation"):
        await refused("Directory_ConcurrencyViolation", plain.graph.users.get(), 503)


@check("an expired token is refused")
async def _():
    control.advance(2 * 3600)
    await refused("InvalidAuthenticationToken", graph.users.get(), 401)


suite.finish(
    not_called={
        "login instance-discovery": "the library asks it of its own cloud's host only; it is switched off here",
        "login keys": "nobody verifies a client's tokens but Graph itself",
    },
    never_good={
        "graph POST /servicePrincipals/{id}/removeKey": "fails for token-signing certificates, as in the real service",
        "graph POST /servicePrincipals/{id}/removePassword": "likewise",
    },
)
