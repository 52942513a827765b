"""scim2-client against the SCIM endpoint, as far as AWS's dialect goes. What the dialect refuses is asked for with the
client's checks off; the number is the section of the AWS contract that says so."""

import ssl
import time
import urllib.request

import httpx2
from harness import Suite, equal
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_client.errors import ResponsePayloadValidationException
from scim2_models import PatchOp, PatchOperation, SCIMException, ScimPolicy, ScimProvider, SearchRequest

suite = Suite("scim2-client", {"scim"})
control, entra = suite.control, suite.descriptor["entra"]
tls = ssl.create_default_context(cafile=suite.descriptor["caFile"])

control.post("/console/aws/enable-identity-center")
metadata = f"{entra['authority']}/{entra['tenantId']}/federationmetadata/2007-06/federationmetadata.xml"
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls))
with direct.open(metadata) as document:
    control.post("/console/aws/external-identity-provider", {"metadataXml": document.read().decode()})
provisioning = control.post("/console/aws/automatic-provisioning")


class Patient(httpx2.HTTPTransport):
    """Waits where the endpoint's twenty calls a second are used up, as every client of it must."""

    def handle_request(self, request):
        while True:
            response = super().handle_request(request)
            if response.status_code != 429:
                return response
            response.close()
            time.sleep(0.1)


def connect(provider=None, endpoint=provisioning["endpoint"], token=provisioning["token"]):
    headers = {"Authorization": f"Bearer {token}"}
    http = httpx2.Client(base_url=endpoint, headers=headers, transport=Patient(verify=tls), trust_env=False)
    return SyncSCIMClient(http, provider=provider)


scim = connect()


def http(method, path, body=None, **query):
    """A call past the client's own checks."""
    return scim.client.request(method, path, json=body, params=query or None)


def refused(status, method, path, body=None, **query):
    answer = http(method, path, body, **query)
    assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
    error = answer.json()
    equal((error["schemas"], error["status"]), (["urn:ietf:params:scim:api:messages:2.0:Error"], str(status)))
    assert error["detail"] and error["exceptionRequestId"] and error["timeStamp"], error


@suite.check("the endpoint describes itself, and the client makes its models of that")
def _():
    scim.discover()
    equal({t.name for t in scim.provider.resource_types}, {"User", "Group"})
    config = scim.provider.config
    equal((config.patch.supported, config.bulk.supported, config.filter.max_results), (True, False, 100))
    found = http("GET", "/Schemas/urn:ietf:params:scim:schemas:core:2.0:Group")
    equal(found.json()["name"], "Group")


User, Group = scim.get_resource_model("User"), scim.get_resource_model("Group")
# Error bodies carry more than the RFC knows (4.5); everything else is read strictly.
lenient = ScimProvider(
    scim.provider.models,
    scim.provider.resource_types,
    scim.provider.config,
    ScimPolicy(unknown=ScimPolicy.Unknown.ignore),
)
tolerant = connect(lenient)
CORE = "urn:ietf:params:scim:schemas:core:2.0:{}"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


def person(name, **more):
    """A user's document as it goes over the wire."""
    return {
        "schemas": [CORE.format("User")],
        "userName": name,
        "displayName": "Some Body",
        "name": {"givenName": "Some", "familyName": "Body"},
        **more,
    }


def user(name, **more):
    return scim.create(User(**person(name, **more)))


def patch(*operations):
    return {"schemas": [PATCH], "Operations": list(operations)}


def status(expected, call, *arguments):
    """The call is refused with this status, as the client's own exception."""
    try:
        call(*arguments)
    except SCIMException as error:
        equal(error.status, expected)
    else:
        raise AssertionError(f"not refused, expected {expected}")


@suite.check("a user is created, read, found, replaced, changed and deleted")
def _():
    email = {"value": "ada@acme.example", "type": "work", "primary": True}
    made = user("ada@acme.example", active=True, externalId="entra-ada", emails=[email], title="Engineer")
    shown = scim.query(User, made.id)
    equal((shown.user_name, shown.external_id, shown.title), ("ada@acme.example", "entra-ada", "Engineer"))
    for term in ('userName eq "ada@acme.example"', 'externalId eq "entra-ada"'):
        found = scim.query(User, SearchRequest(filter=term))
        equal([u.id for u in found.resources], [made.id])
    shown.display_name = "Ada L"
    equal(scim.replace(shown).display_name, "Ada L")
    change = PatchOp[User](operations=[PatchOperation(op="replace", path="active", value=False)])
    equal(scim.modify(User, made.id, change).active, False)
    scim.delete(User, made.id)
    status(404, tolerant.query, User, made.id)


@suite.check("the enterprise extension is kept")
def _():
    enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
    more = {enterprise: {"department": "Platform", "employeeNumber": "7"}}
    document = person("ext@acme.example", **more)
    document["schemas"].append(enterprise)
    made = scim.create(User(**document))
    shown = scim.query(User, made.id).model_dump()
    equal(shown[enterprise]["department"], "Platform")


@suite.check("a group and its members, which are never shown (4.3, 4.4)")
def _():
    people = [user(f"member{i}@acme.example").id for i in range(3)]
    crew = scim.create(Group(display_name="crew"))
    members = [{"value": id} for id in people]
    scim.modify(Group, crew.id, PatchOp[Group](operations=[PatchOperation(op="add", path="members", value=members)]))
    shown = scim.query(Group, crew.id)
    assert not shown.members, shown
    found = scim.query(User, SearchRequest(filter=f'groups.value eq "{crew.id}"'))
    equal(sorted(u.id for u in found.resources), sorted(people))
    for term in (f'id eq "{crew.id}" and members eq "{people[0]}"', 'displayName eq "crew"'):
        equal([g.id for g in scim.query(Group, SearchRequest(filter=term)).resources], [crew.id])
    rename = PatchOp[Group](operations=[PatchOperation(op="replace", path="displayName", value="crew-two")])
    scim.modify(Group, crew.id, rename)
    remove = patch({"op": "remove", "path": "members", "value": [members[0]]})
    equal(http("PATCH", f"/Groups/{crew.id}", remove).status_code, 204)
    found = scim.query(User, SearchRequest(filter=f'groups.value eq "{crew.id}"'))
    equal(sorted(u.id for u in found.resources), sorted(people[1:]))
    scim.delete(Group, crew.id)
    refused(404, "GET", f"/Groups/{crew.id}")


@suite.check("with a cursor there are pages, without one there is no second page (4.4)")
def _():
    for i in range(5):
        user(f"page{i}@acme.example")
    first = http("GET", "/Users", count=2).json()
    assert first["totalResults"] > 2 and len(first["Resources"]) == 2 and "nextCursor" not in first, first
    seen, cursor = [], ""
    while True:
        page = http("GET", "/Users", count=2, cursor=cursor).json()
        equal("totalResults" in page, False)
        seen += [u["id"] for u in page["Resources"]]
        if not page.get("nextCursor"):
            break
        cursor = page["nextCursor"]
    equal(len(seen), len(set(seen)))
    equal(len(seen), first["totalResults"])
    for count in (0, 101):
        refused(400, "GET", "/Users", count=count)


@suite.check("refused: what is not there at all (4.1)")
def _():
    crew = scim.create(Group(display_name="not-there"))
    refused(400, "PUT", f"/Groups/{crew.id}", {"schemas": [CORE.format("Group")], "displayName": "x"})
    for method, path in (("GET", "/Me"), ("POST", "/Bulk"), ("POST", "/.search")):
        refused(404, method, path, {} if method == "POST" else None)


@suite.check("refused: users that lack a required attribute (4.2)")
def _():
    for name in ("userName", "displayName", "name"):
        document = person("lack@acme.example")
        del document[name]
        refused(400, "POST", "/Users", document)
    for part in ("givenName", "familyName"):
        document = person("lack@acme.example")
        del document["name"][part]
        refused(400, "POST", "/Users", document)


@suite.check("refused: more than one value, and an address that is not the primary one (4.2)")
def _():
    email = lambda name, primary: {"value": name, "type": "work", "primary": primary}  # noqa: E731
    two = [email("one@acme.example", True), email("two@acme.example", False)]
    refused(400, "POST", "/Users", person("two@acme.example", emails=two))
    refused(400, "POST", "/Users", person("two@acme.example", emails=two[1:]))
    refused(400, "POST", "/Users", person("two@acme.example", phoneNumbers=[{"value": "1"}, {"value": "2"}]))


@suite.check("refused: attributes that the dialect lacks (4.2)")
def _():
    for more in (
        {"password": "secret"},
        {"ims": [{"value": "x"}]},
        {"photos": [{"value": "x"}]},
        {"x509Certificates": [{"value": "x"}]},
        {"entitlements": [{"value": "x"}]},
        {"groups": [{"value": "x"}]},
        {"emails": [{"value": "a@acme.example", "primary": True, "display": "A"}]},
    ):
        refused(400, "POST", "/Users", person("more@acme.example", **more))


@suite.check("refused: changes of users that the dialect does not know (4.2)")
def _():
    made = user("change@acme.example")
    path = f"/Users/{made.id}"
    for operations in (
        [{"op": "remove", "path": "userName"}],
        [{"op": "remove", "path": "active"}],
        [{"op": "remove"}],
        [{"op": "replace", "path": "active", "value": False}, {"op": "replace", "path": "active", "value": True}],
        [{"op": "replace", "path": "photos", "value": []}],
        [{"op": "copy", "path": "title", "value": "x"}],
    ):
        refused(400, "PATCH", path, patch(*operations))
    # The guide's own example sends a string.
    answer = http("PATCH", path, patch({"op": "replace", "path": "active", "value": "false"}))
    equal((answer.status_code, answer.json()["active"]), (200, False))


@suite.check("refused: groups that are too large, and all members at once (4.3)")
def _():
    crew = scim.create(Group(display_name="large"))
    many = [{"value": f"{i}"} for i in range(101)]
    refused(400, "POST", "/Groups", {"schemas": [CORE.format("Group")], "displayName": "many", "members": many})
    path = f"/Groups/{crew.id}"
    for operation in (
        {"op": "add", "path": "members", "value": many},
        {"op": "replace", "path": "members", "value": []},
        {"op": "remove", "path": "members"},
        {"op": "add", "value": {"displayName": "x"}},
        {"op": "replace", "path": "description", "value": "x"},
    ):
        refused(400, "PATCH", path, patch(operation))


@suite.check("refused: filters other than equality and conjunction (4.4)")
def _():
    for term in (
        'userName co "ada"',
        'userName sw "ada"',
        'userName eq "a" or userName eq "b"',
        'not (userName eq "a")',
        'title eq "x"',
        "userName pr",
    ):
        refused(400, "GET", "/Users", filter=term)
    refused(400, "GET", "/Groups", filter='displayName co "crew"')


@suite.check("refused: a second object of the same name (4.5)")
def _():
    user("twice@acme.example")
    refused(409, "POST", "/Users", person("twice@acme.example"))
    scim.create(Group(display_name="twice"))
    document = {"schemas": [CORE.format("Group")], "displayName": "twice"}
    refused(409, "POST", "/Groups", document)
    equal(http("POST", "/Groups", document).json()["detail"], "Duplicate GroupDisplayName")


@suite.check("refused: a bad token and a wrong tenant look the same (4.5)")
def _():
    endpoint, token = provisioning["endpoint"], provisioning["token"]
    wrong = endpoint.replace(endpoint.split("/")[3], "00000000-0000-4000-8000-000000000000")
    for bad in ({"token": "x"}, {"token": token + "x"}, {"endpoint": wrong}):
        status(401, connect(lenient, **bad).query, User)


@suite.check("refused: bodies that are no JSON, and names with a character that is not printable (4.2, 4.5)")
def _():
    answer = scim.client.request("POST", "/Users", content=b"{")
    equal((answer.status_code, answer.json()["detail"]), (400, "Invalid JSON from RequestBody"))
    refused(400, "POST", "/Users", person("with space@acme.example"))
    refused(400, "POST", "/Users", person("a" * 129))


@suite.check("errors say more than the RFC knows, which a strict reader refuses (4.5)")
def _():
    status(404, tolerant.query, User, "00000000-0000-4000-8000-000000000000")
    try:
        scim.query(User, "00000000-0000-4000-8000-000000000000")
    except ResponsePayloadValidationException as error:
        for member in ("schema", "exceptionRequestId", "timeStamp"):
            assert member in str(error.__cause__), error.__cause__
    else:
        raise AssertionError("read without complaint")


@suite.check("a token lives a year, and a second one takes over (4.6)")
def _():
    second = control.post("/console/aws/scim-tokens")
    assert connect(scim.provider, token=second["token"]).query(User).total_results > 0
    control.advance(366 * 24 * 3600)
    refused(401, "GET", "/Users")


suite.finish()
