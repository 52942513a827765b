"""boto3 against one endpoint, with a record of every call and how it came out."""

import contextlib

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError


class Refusal:
    """What a block was refused with."""

    response = None


class Aws:
    """boto3 clients of one caller."""

    def __init__(self, endpoint, ca, key, secret, token=None, retries=10, validate=True, region="eu-west-1"):
        self.record, self.title = [], ""
        self.options = {
            "endpoint_url": endpoint,
            "verify": ca,
            "config": Config(
                retries={"mode": "standard", "total_max_attempts": retries},
                parameter_validation=validate,
                # Never through a proxy: everything here is on loopback.
                proxies={},
            ),
        }
        self.session = boto3.Session(
            aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token, region_name=region
        )
        self.clients, self.defaults = {}, {}

    def client(self, service):
        if service not in self.clients:
            self.clients[service] = self.session.client(service, **self.options)
        return self.clients[service]

    def call(self, service, operation, **given):
        """One call. `InstanceArn` and `IdentityStoreId` are filled in where the operation has them."""
        client = self.client(service)
        shape = client.meta.service_model.operation_model(operation).input_shape
        members = shape.members if shape is not None else {}
        given = {**{k: v for k, v in self.defaults.items() if k in members}, **given}
        try:
            found = getattr(client, xform_name(operation))(**given)
        except ClientError as error:
            self.record.append((self.title, f"{service} {operation}", "error", error.response["Error"]["Code"]))
            raise
        found.pop("ResponseMetadata")
        self.record.append((self.title, f"{service} {operation}", "ok", found))
        return found

    def sso(self, operation, **given):
        return self.call("sso-admin", operation, **given)

    def store(self, operation, **given):
        return self.call("identitystore", operation, **given)

    def organization(self, operation, **given):
        return self.call("organizations", operation, **given)

    def pages(self, service, operation, member, size=None, **given):
        """All items of a listing, page by page."""
        items, pages, token = [], 0, None
        while True:
            more = {} if token is None else {"NextToken": token}
            more |= {} if size is None else {"MaxResults": size}
            page = self.call(service, operation, **given, **more)
            assert size is None or len(page[member]) <= size, f"{operation}: more than {size} items on a page"
            items, pages, token = items + page[member], pages + 1, page.get("NextToken")
            if token is None:
                return items
            assert pages < 100, f"{operation}: the pages have no end"

    @contextlib.contextmanager
    def refused(self, code, typed=True):
        """The block ends with this error, as botocore's own exception class of that name where the model has it."""
        refusal = Refusal()
        try:
            yield refusal
        except ClientError as error:
            refusal.response = error.response
            found = error.response["Error"]["Code"]
            assert found == code, f"refused with {found} instead of {code}: {error}"
            if typed:
                assert type(error).__name__ == code, f"{code} came as {type(error).__name__}"
        else:
            raise AssertionError(f"not refused, expected {code}")
