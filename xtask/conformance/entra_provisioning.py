"""Provisioning with the Graph SDK: credentials, jobs, mappings, cycles, one person on demand, quarantine."""

import json

from entra_sdk import ODataError, Tenant, get, model, refused, sdk_class, until
from entra_suite import check, control, graph, made, principal, suite, tenant
from harness import equal

SYNC = "service_principals.item.synchronization"


def sync():
    return principal().synchronization


def job():
    return sync().jobs.by_synchronization_job_id(made.job)


def secret(key, value):
    return model(
        "SynchronizationSecretKeyStringValuePair",
        key=sdk_class("models", "SynchronizationSecret")(key),
        value=value,
    )


def users_at_aws():
    return {u["userName"]: u for u in control.get("/state/aws")["identityCenter"]["users"]}


def run():
    """The checks, once there is an application that somebody is assigned to."""

    @check("provisioning: the template, credentials that are tried, a job")
    async def _():
        xml = await tenant.federation_metadata(made.app_id)
        control.post("/console/aws/external-identity-provider", {"metadataXml": xml})
        made.scim = control.post("/console/aws/automatic-provisioning")
        templates = await until("templates", sync().templates.get, lambda t: len(t.value) == 1)
        template = templates.value[0]
        assert template.default and template.schema.synchronization_rules, "a template carries its schema"
        equal((await sync().templates.by_synchronization_template_id(template.id).get()).id, template.id)
        good = [secret("BaseAddress", made.scim["endpoint"]), secret("SecretToken", made.scim["token"])]
        bad = [secret("BaseAddress", made.scim["endpoint"]), secret("SecretToken", "wrong")]
        body = sdk_class(f"{SYNC}.jobs.validate_credentials", "ValidateCredentialsPostRequestBody")
        await sync().jobs.validate_credentials.post(body(template_id=template.id, credentials=good))
        code = "SystemForCrossDomainIdentityManagementCredentialValidationUnavailable"
        await refused(code, sync().jobs.validate_credentials.post(body(template_id=template.id, credentials=bad)), 400)
        equal((await sync().jobs.get()).value, [])
        created = await sync().jobs.post(model("SynchronizationJob", template_id=template.id))
        made.job = created.id
        equal((created.schedule.state.value, created.status.code.value), ("Disabled", "NotConfigured"))
        await until("the job", job().get, in_a_row=5)
        equal([j.id for j in (await sync().jobs.get()).value], [made.job])
        put = sdk_class(f"{SYNC}.secrets", "SecretsPutRequestBody")
        await sync().secrets.put(put(value=[*good, secret("SyncAll", "false")]))
        path = f"/servicePrincipals/{made.principal}/synchronization/secrets"
        shown = {s["key"]: s["value"] for s in (await tenant.raw("GET", path))["value"]}
        equal((shown["SecretToken"], shown["BaseAddress"]), ("*", made.scim["endpoint"]))
        saved = sdk_class(f"{SYNC}.jobs.item.validate_credentials", "ValidateCredentialsPostRequestBody")
        await job().validate_credentials.post(saved(use_saved_credentials=True))
        setting = model("KeyValuePair", name="AllowDefaultEntitlement", value="false")
        await job().patch(model("SynchronizationJob", synchronization_job_settings=[setting]))
        equal([s.name for s in (await job().get()).synchronization_job_settings], ["AllowDefaultEntitlement"])

    @check("provisioning: the schema is replaced as a whole, and there is no PATCH")
    async def _():
        schema = await job().schema.get()
        (rule,) = schema.synchronization_rules
        users = next(m for m in rule.object_mappings if m.source_object_name == "User")
        names = [a.target_attribute_name for a in users.attribute_mappings]
        assert {"userName", "externalId", "name.givenName", "name.familyName"} <= set(names), names
        await refused("UnknownError", job().schema.patch(schema), 404)
        path = f"/servicePrincipals/{made.principal}/synchronization/jobs/{made.job}/schema"
        whole = await tenant.raw("GET", path)
        groups = next(m for m in whole["synchronizationRules"][0]["objectMappings"] if m["sourceObjectName"] == "Group")
        groups["enabled"] = False
        await tenant.raw("PUT", path, whole)
        changed = await job().schema.get()
        enabled = {m.source_object_name: m.enabled for m in changed.synchronization_rules[0].object_mappings}
        equal(enabled, {"User": True, "Group": False})
        await job().schema.delete()
        whole = await tenant.raw("GET", path)
        assert all(m["enabled"] for m in whole["synchronizationRules"][0]["objectMappings"])
        body = sdk_class(f"{SYNC}.jobs.item.schema.parse_expression", "ParseExpressionPostRequestBody")
        found = await job().schema.parse_expression.post(body(expression="Join(\" \", [givenName], [surname])"))
        equal((found.parsing_succeeded, found.parsed_expression.name), (True, "Join"))
        equal((await job().schema.parse_expression.post(body(expression="Join("))).parsing_succeeded, False)

    @check("provisioning: a job is started, people and groups arrive, and it is paused and restarted")
    async def _():
        await job().start.post()
        first = await job().get()
        equal(first.schedule.state.value, "Active")
        await until("the first cycle", job().get, lambda j: j.status.code.value == "Active")
        shown = await job().get()
        equal(shown.status.last_execution.state.value, "Succeeded")
        equal({p.key: p.value for p in shown.status.synchronized_entry_count_by_type}["User to User"], 1)
        equal(set(users_at_aws()), {"ada@acme.example"})
        await job().pause.post()
        equal((await job().get()).status.code.value, "Paused")
        body = sdk_class(f"{SYNC}.jobs.item.restart", "RestartPostRequestBody")
        scope = sdk_class("models", "SynchronizationJobRestartScope")
        criteria = model("SynchronizationJobRestartCriteria", reset_scope=scope.Full)
        await job().restart.post(body(criteria=criteria))
        await until("active again", job().get, lambda j: j.status.code.value == "Active")

    @check("provisioning: one person, and one group with a member, on demand")
    async def _():
        (auditors,) = (await get(graph.groups, filter="displayName eq 'aws-auditors'")).value
        ben = await graph.users.by_user_id("ben@acme.example").get()
        role = next(r for r in (await principal().get()).app_roles if r.display_name == "User")
        assignment = {"principal_id": auditors.id, "resource_id": made.principal, "app_role_id": role.id}
        await principal().app_role_assigned_to.post(model("AppRoleAssignment", **assignment))
        control.advance(60)
        rule = (await job().schema.get()).synchronization_rules[0].id
        body = sdk_class(f"{SYNC}.jobs.item.provision_on_demand", "ProvisionOnDemandPostRequestBody")

        async def demand(identity, kind, members=()):
            links = model(
                "SynchronizationLinkedObjects",
                members=[model("SynchronizationJobSubject", object_id=m, object_type_name="User") for m in members],
            )
            subject = model("SynchronizationJobSubject", object_id=identity, object_type_name=kind)
            subject.links = links if members else None
            parameters = model("SynchronizationJobApplicationParameters", rule_id=rule, subjects=[subject])
            answer = await job().provision_on_demand.post(body(parameters=[parameters]))
            json.loads(answer.value)
            return json.loads(answer.key)["result"]

        async def done():
            return await demand(ben.id, "User")

        equal(await done(), "Success")
        assert "ben@acme.example" in users_at_aws()
        equal(await done(), "Skipped")
        equal(await demand(auditors.id, "Group", [ben.id]), "Success")
        groups = {g["displayName"]: g["members"] for g in control.get("/state/aws")["identityCenter"]["groups"]}
        equal(groups["aws-auditors"], ["ben@acme.example"])
        lena = await graph.users.by_user_id("lena@acme.example").get()
        equal(await demand(lena.id, "User"), "Skipped")
        # Five calls in ten seconds (the SDK would wait and ask again).
        path = f"/servicePrincipals/{made.principal}/synchronization/jobs/{made.job}/provisionOnDemand"
        plain = Tenant(suite.descriptor, retries=False)
        await refused("BadRequest", plain.raw("POST", path, {"parameters": []}), 400)
        # On a machine that does much else the first of them may be longer ago.
        for _ in range(20):
            try:
                await plain.raw("POST", path, {"parameters": []})
            except ODataError as error:
                if error.response_status_code == 429:
                    equal(error.error.code, "TooManyRequests")
                    break
                equal(error.error.code, "BadRequest")
        else:
            raise AssertionError("twenty calls one after the other, and none was too many")

    @check("provisioning: bad credentials end in quarantine, good ones and a start lift it")
    async def _():
        control.advance(60)
        put = sdk_class(f"{SYNC}.secrets", "SecretsPutRequestBody")
        address = secret("BaseAddress", made.scim["endpoint"])
        await sync().secrets.put(put(value=[address, secret("SecretToken", "wrong")]))
        control.advance(2400)
        shown = await until("quarantine", job().get, lambda j: j.status.code.value == "Quarantine")
        equal(shown.status.quarantine.reason.value, "EncounteredQuarantineException")
        await sync().secrets.put(put(value=[address, secret("SecretToken", made.scim["token"])]))
        await job().start.post()
        await until("active", job().get, lambda j: j.status.code.value == "Active" and j.status.quarantine is None)
        await job().delete()
        await refused("JobNotFound", job().get(), 404)
