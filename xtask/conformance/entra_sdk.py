"""Microsoft's own libraries, pointed at the sandbox: azure-identity for tokens, the Graph SDK for everything else."""

import asyncio
import importlib
import json
import logging
import re
import ssl

import httpx
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential
from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_abstractions.headers_collection import HeadersCollection
from kiota_abstractions.method import Method
from kiota_abstractions.request_information import RequestInformation
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph_core import GraphClientFactory

SCOPE = "https://graph.microsoft.com/.default"
LIMITED = ("7c3f7e5e-4a7d-4c53-9f0b-2f1d6a1c0002", "sbx8Q~only-worth-something-in-a-sandbox-02")

loop = asyncio.new_event_loop()
# Refused tokens are what some checks are about; the library need not warn of them.
logging.getLogger("azure").setLevel(logging.CRITICAL)


class Tenant:
    """One caller."""

    def __init__(self, descriptor, client=None, retries=True):
        entra = descriptor["entra"]
        self.ca, self.entra = descriptor["caFile"], entra
        self.id, self.secret = client or (entra["clientId"], entra["clientSecret"])
        self.tls = ssl.create_default_context(cafile=self.ca)
        # Middleware of the SDK: it retries, follows redirects, and puts its own headers on.
        http = httpx.AsyncClient(verify=self.tls, trust_env=False, http2=True)
        self.http = GraphClientFactory.create_with_default_middleware(client=http) if retries else http
        provider = AzureIdentityAuthenticationProvider(
            self.credential(), scopes=[SCOPE], allowed_hosts=["127.0.0.1"]
        )
        self.adapter = GraphRequestAdapter(provider, client=self.http)
        self.adapter.base_url = entra["graph"] + "/v1.0"
        self.graph = GraphServiceClient(request_adapter=self.adapter)

    def credential(self, client=None, secret=None, directory=None):
        # Instance discovery would ask login.microsoftonline.com whether it knows this authority.
        return ClientSecretCredential(
            directory or self.entra["tenantId"],
            client or self.id,
            secret or self.secret,
            authority=self.entra["authority"],
            disable_instance_discovery=True,
            connection_verify=self.ca,
        )

    async def raw(self, method, path, body=None):
        """A call that the SDK has no method for, by its adapter: same token, same transport, same errors."""
        request = RequestInformation(Method(method), "{+baseurl}" + path, {})
        request.headers.try_add("Accept", "application/json")
        if body is not None:
            request.set_stream_content(json.dumps(body).encode(), "application/json")
        found = await self.adapter.send_primitive_async(request, "bytes", {"XXX": ODataError})
        return json.loads(found) if found else None

    async def federation_metadata(self, app_id):
        """The document that everybody may read."""
        host, directory = self.entra["authority"], self.entra["tenantId"]
        url = f"{host}/{directory}/federationmetadata/2007-06/federationmetadata.xml"
        return (await self.http.get(url, params={"appid": app_id})).text


def refused_token(tenant, code, **wrong):
    try:
        tenant.credential(**wrong).get_token(SCOPE)
    except ClientAuthenticationError as error:
        assert code in str(error), error
    else:
        raise AssertionError(f"a token was issued, expected {code}")


async def refused(code, call, status=None):
    """The call is refused as the SDK's own error, with this code."""
    try:
        await call
    except ODataError as error:
        assert error.error is not None, "the body is no OData error"
        assert error.error.code == code, f"refused with {error.error.code} instead of {code}: {error.error.message}"
        if status:
            assert error.response_status_code == status, error.response_status_code
        return error
    raise AssertionError(f"not refused, expected {code}")


async def until(what, call, good=lambda _: True, in_a_row=1):
    """Asks until the answer is good, so often in a row. What is not there yet is waited for."""
    run = 0
    for _ in range(600):
        try:
            found = await call()
            run = run + 1 if good(found) else 0
        except ODataError as error:
            assert error.response_status_code in (401, 403, 404, 409), error
            run = 0
        if run == in_a_row:
            return found
        await asyncio.sleep(0.03)
    raise AssertionError(f"{what}: never")


def query(builder, headers=None, **parameters):
    """A request configuration of a builder's own query parameters."""
    kind = next(v for k, v in vars(type(builder)).items() if k.endswith("GetQueryParameters"))
    collection = HeadersCollection()
    for name, value in (headers or {}).items():
        collection.try_add(name, value)
    return RequestConfiguration(query_parameters=kind(**parameters), headers=collection)


async def get(builder, headers=None, **parameters):
    return await builder.get(request_configuration=query(builder, headers, **parameters))


def sdk_class(path, name):
    """A class of the SDK by its place and name; the modules are called like the classes."""
    module = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    return getattr(importlib.import_module(f"msgraph.generated.{path}.{module}"), name)


def model(kind, **members):
    return sdk_class("models", kind)(**members)
