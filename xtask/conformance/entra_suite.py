"""What the scripts of the Graph SDK share: one suite, one tenant, and what earlier checks have made."""

from entra_sdk import Tenant, loop
from harness import Suite, equal
from msgraph.generated.models.o_data_errors.o_data_error import ODataError

suite = Suite("msgraph-sdk", {"graph", "login"})
control = suite.control
tenant = Tenant(suite.descriptor)
graph = tenant.graph


def check(title):
    """A check that is a coroutine."""

    def run(function):
        suite.check(title)(lambda: loop.run_until_complete(function()))

    return run


async def there(*builders):
    """Whether all of them are."""
    for builder in builders:
        await builder.get()
    return True


async def gone(*builders):
    """Whether all of them are."""
    for builder in builders:
        try:
            await builder.get()
        except ODataError as error:
            equal(error.error.code, "Request_ResourceNotFound")
        else:
            return False
    return True


class Made:
    """What earlier checks have made."""

    application = app_id = principal = assignment = job = scim = None


made = Made()


def application():
    return graph.applications.by_application_id(made.application)


def principal():
    return graph.service_principals.by_service_principal_id(made.principal)
