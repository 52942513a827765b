"""signxml reads what Entra's side signs, and signs what AWS's side must refuse."""

import base64
import copy
import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from entra_sdk import Tenant, loop
from harness import Suite, equal, until
from lxml import etree
from signxml import DigestAlgorithm, SignatureConfiguration, SignatureMethod, XMLSigner, XMLVerifier, methods
from signxml.exceptions import InvalidSignature

suite = Suite("signxml", set())
control, tenant = suite.control, Tenant(suite.descriptor)
ADA, BEN = "ada@acme.example", "ben@acme.example"
NS = {
    "p": "urn:oasis:names:tc:SAML:2.0:protocol",
    "a": "urn:oasis:names:tc:SAML:2.0:assertion",
    "d": "http://www.w3.org/2000/09/xmldsig#",
    "m": "urn:oasis:names:tc:SAML:2.0:metadata",
}
STRICT = SignatureConfiguration(
    signature_methods=frozenset({SignatureMethod.RSA_SHA256}), digest_algorithms=frozenset({DigestAlgorithm.SHA256})
)


def call(method, path, body=None):
    return loop.run_until_complete(tenant.raw(method, path, body))


def patiently(method, path, body=None):
    """What was just made is not there at once."""

    def look():
        try:
            return (call(method, path, body),)
        except Exception as error:
            assert getattr(error, "response_status_code", 0) in (400, 404), error
            return None

    return until(f"{method} {path}", look)[0]


def journey():
    """An application in SAML mode that Ada is assigned to, and an AWS that trusts it and knows two people."""
    control.post("/console/aws/enable-identity-center")
    xml = etree.fromstring(control.get("/console/aws/service-provider-metadata").encode())
    acs = xml.find(".//m:AssertionConsumerService", NS).get("Location")
    template = "/applicationTemplates/21ed01d2-ec13-4e9e-86c1-cd546719ebc4/instantiate"
    made = call("POST", template, {"displayName": "AWS"})
    principal = f"/servicePrincipals/{made['servicePrincipal']['id']}"
    patiently("PATCH", principal, {"preferredSingleSignOnMode": "saml"})
    urls = {"identifierUris": [xml.get("entityID")], "web": {"redirectUris": [acs]}}
    patiently("PATCH", f"/applications/{made['application']['id']}", urls)
    certificate = patiently("POST", f"{principal}/addTokenSigningCertificate", {"displayName": "CN=aws"})
    patiently("PATCH", principal, {"preferredTokenSigningKeyThumbprint": certificate["thumbprint"]})
    role = next(r["id"] for r in made["servicePrincipal"]["appRoles"] if r["displayName"] == "User")
    ada = call("GET", f"/users/{ADA}")["id"]
    assignment = {"principalId": ada, "resourceId": made["servicePrincipal"]["id"], "appRoleId": role}
    patiently("POST", f"{principal}/appRoleAssignedTo", assignment)
    control.advance(60)
    metadata = loop.run_until_complete(tenant.federation_metadata(made["application"]["appId"]))
    control.post("/console/aws/external-identity-provider", {"metadataXml": metadata})
    scim = control.post("/console/aws/automatic-provisioning")
    for name in (ADA, BEN):
        user = {"userName": name, "displayName": name, "name": {"givenName": "A", "familyName": "B"}}
        headers = {"Authorization": f"Bearer {scim['token']}"}
        loop.run_until_complete(tenant.http.post(f"{scim['endpoint']}/Users", json=user, headers=headers))
    return made["application"]["appId"], metadata


app_id, metadata = journey()


def sign_in(who):
    return control.post("/sign-in", {"userPrincipalName": who, "appId": app_id})


def pem(text):
    lines = "\n".join(text.split())
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"


def stranger():
    """A key with a certificate of its own."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stranger")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    certificate = builder.not_valid_after(now + datetime.timedelta(days=300)).sign(key, hashes.SHA256())
    return key, certificate.public_bytes(serialization.Encoding.PEM).decode()


genuine = base64.b64decode(sign_in(ADA)["samlResponse"])
published = etree.fromstring(metadata.encode()).find(".//m:IDPSSODescriptor//d:X509Certificate", NS).text
trusted, unknown = stranger(), stranger()
control.post("/console/aws/idp-certificates", {"certificate": trusted[1]})


@suite.check("a response is signed by the certificate that the federation metadata publishes, and covers the assertion")
def _():
    root = etree.fromstring(genuine)
    found = XMLVerifier().verify(root, x509_cert=pem(published), id_attribute="ID", expect_config=STRICT)
    equal(found.signed_xml.tag, f"{{{NS['a']}}}Assertion")
    name = found.signed_xml.find(".//a:NameID", NS)
    equal((name.text, name.get("Format")), (ADA, "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"))
    (signature,) = root.findall(".//d:Signature", NS)
    equal(signature.getparent().tag, f"{{{NS['a']}}}Assertion")
    equal(signature.find(".//d:CanonicalizationMethod", NS).get("Algorithm"), "http://www.w3.org/2001/10/xml-exc-c14n#")
    for wrong in (unknown[1], trusted[1]):
        try:
            XMLVerifier().verify(root, x509_cert=wrong, id_attribute="ID", expect_config=STRICT)
        except InvalidSignature:
            continue
        raise AssertionError("verified with another certificate")


@suite.check("the federation metadata is signed as a whole")
def _():
    root = etree.fromstring(metadata.encode())
    own = root.find("./d:Signature//d:X509Certificate", NS).text
    found = XMLVerifier().verify(root, x509_cert=pem(own), id_attribute="ID", expect_config=STRICT)
    equal(found.signed_xml.get("entityID"), f"https://sts.windows.net/{tenant.entra['tenantId']}/")


def response(edit=lambda root, assertion: None, signer=trusted, method=SignatureMethod.RSA_SHA256):
    """The genuine response, changed, and signed anew."""
    root = etree.fromstring(genuine)
    assertion = root.find("a:Assertion", NS)
    assertion.remove(assertion.find("d:Signature", NS))
    edit(root, assertion)
    # Where the schema wants the signature: after the issuer.
    holder = etree.Element(f"{{{NS['d']}}}Signature", nsmap={"ds": NS["d"]}, Id="placeholder")
    assertion.insert(1, holder)
    algorithm = DigestAlgorithm.SHA1 if method is SignatureMethod.RSA_SHA1 else DigestAlgorithm.SHA256
    kind = Outdated if method is SignatureMethod.RSA_SHA1 else XMLSigner
    xml_signer = kind(
        method=methods.enveloped,
        signature_algorithm=method,
        digest_algorithm=algorithm,
        c14n_algorithm="http://www.w3.org/2001/10/xml-exc-c14n#",
    )
    signed = xml_signer.sign(
        assertion, key=signer[0], cert=signer[1], reference_uri=assertion.get("ID"), id_attribute="ID"
    )
    root.replace(root.find("a:Assertion", NS), signed)
    return root


class Outdated(XMLSigner):
    """Signs with SHA-1, which signxml itself refuses by now."""

    def check_deprecated_methods(self):
        pass


def post(root):
    xml = root if isinstance(root, bytes) else etree.tostring(root)
    return control.post("/console/aws/saml-response", {"samlResponse": base64.b64encode(xml).decode()})


def refused(root, because):
    found = post(root)
    equal((found["verdict"], found["refusedBy"]), ("refused", "aws"))
    assert because in found["reason"], f"{found['reason']!r} does not say {because!r}"


def put(path, value, attribute=None):
    """An edit of the text or an attribute at this place."""

    def edit(root, assertion):
        (node,) = root.xpath(path, namespaces=NS)
        if attribute:
            node.set(attribute, value)
        else:
            node.text = value

    return edit


def strip(root, path, attribute):
    (node,) = root.xpath(path, namespaces=NS)
    del node.attrib[attribute]


@suite.check("a response that somebody else signs with an imported certificate is admitted")
def _():
    equal(sign_in(ADA)["verdict"], "admitted")
    equal(post(genuine)["verdict"], "admitted")
    equal(post(response())["verdict"], "admitted")
    equal(post(response(put("//a:NameID", BEN)))["verdict"], "admitted")


@suite.check("refused: a key that was not imported, though the response brings its certificate along")
def _():
    refused(response(signer=unknown), "none of the 2 imported")


@suite.check("refused: another audience, recipient, destination or issuer")
def _():
    refused(response(put("//a:Audience", "https://other.example")), "audience")
    data = "//a:SubjectConfirmationData"
    refused(response(put(data, "https://evil.example/acs", "Recipient")), "no ACS URL")
    refused(response(put("/p:Response", "https://evil.example/acs", "Destination")), "no ACS URL")
    refused(response(put("//a:Assertion/a:Issuer", "https://sts.windows.net/other/")), "issuer")


@suite.check("refused: too late and too early")
def _():
    past, future = "2020-01-01T00:00:00.000Z", "2099-01-01T00:00:00.000Z"
    refused(response(put("//a:Conditions", past, "NotOnOrAfter")), "expired")
    refused(response(put("//a:SubjectConfirmationData", past, "NotOnOrAfter")), "expired")
    refused(response(put("//a:Conditions", future, "NotBefore")), "valid from")
    refused(response(lambda root, _: strip(root, "//a:Conditions", "NotOnOrAfter")), "NotOnOrAfter")
    refused(response(lambda root, _: strip(root, "//a:SubjectConfirmationData", "NotOnOrAfter")), "NotOnOrAfter")


@suite.check("refused: a name that is no user, in another case, in another format, or no address")
def _():
    refused(response(put("//a:NameID", "nobody@acme.example")), "no user")
    refused(response(put("//a:NameID", ADA.upper())), "no user")
    refused(response(put("//a:NameID", "ada")), "e-mail")
    persistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
    refused(response(put("//a:NameID", persistent, "Format")), "format")


@suite.check("refused: without a signature, changed after it was signed, signed with SHA-1")
def _():
    bare = response()
    assertion = bare.find("a:Assertion", NS)
    assertion.remove(assertion.find("d:Signature", NS))
    refused(bare, "not signed")
    changed = response()
    put("//a:NameID", BEN)(changed, None)
    refused(changed, "Reference digest failed")
    refused(response(method=SignatureMethod.RSA_SHA1), "not accepted")


@suite.check("a comment in the name neither cuts it nor hides anything")
def _():
    # The provider names somebody whose name begins like Ada's; a comment after signing must not make it Ada.
    long = response(put("//a:NameID", f"{ADA}.evil.example"))
    name = long.find(".//a:NameID", NS)
    name.text = ADA
    comment = etree.Comment("")
    comment.tail = ".evil.example"
    name.append(comment)
    XMLVerifier().verify(long, x509_cert=trusted[1], id_attribute="ID", expect_config=STRICT)
    refused(long, "no user")
    # The other way round the whole name is Ada's, and it was signed.
    short = response()
    name = short.find(".//a:NameID", NS)
    name.text, comment = ADA[:3], etree.Comment("")
    comment.tail = ADA[3:]
    name.append(comment)
    equal(post(short)["verdict"], "admitted")


def forged(assertion):
    """A copy that names somebody else, without the signature."""
    copied = copy.deepcopy(assertion)
    copied.set("ID", "_forged")
    signature = copied.find("d:Signature", NS)
    if signature is not None:
        copied.remove(signature)
    copied.find(".//a:NameID", NS).text = BEN
    return copied


def wrappings():
    """The known ways to keep a signed assertion in a document and have another one used."""
    extensions = f"{{{NS['p']}}}Extensions"
    signed = response().find("a:Assertion", NS)

    def document(*children):
        root = etree.fromstring(genuine)
        root.remove(root.find("a:Assertion", NS))
        root.extend(children)
        return root

    yield "beside, first", document(forged(signed), copy.deepcopy(signed))
    yield "beside, last", document(copy.deepcopy(signed), forged(signed))
    inside = forged(signed)
    inside.append(copy.deepcopy(signed))
    yield "inside the forged one", document(inside)
    holder = etree.Element(extensions)
    holder.append(copy.deepcopy(signed))
    yield "in Extensions before it", document(holder, forged(signed))
    # The signature moves into the forged assertion and still points at the genuine one.
    for place in ("beside", "object"):
        original, carrier = copy.deepcopy(signed), forged(signed)
        signature = original.find("d:Signature", NS)
        original.remove(signature)
        carrier.insert(1, signature)
        if place == "beside":
            yield "the forged one carries the signature", document(carrier, original)
        else:
            etree.SubElement(signature, f"{{{NS['d']}}}Object").append(original)
            yield "the genuine one in the signature's Object", document(carrier)
    # A whole response around the genuine one.
    outer = document(forged(signed))
    outer.append(response())
    yield "a response in a response", outer
    # The genuine one under another name, so that only one assertion is seen.
    original, carrier = copy.deepcopy(signed), forged(signed)
    signature = original.find("d:Signature", NS)
    original.remove(signature)
    original.tag = f"{{{NS['a']}}}Original"
    carrier.insert(1, signature)
    yield "the genuine one disguised", document(carrier, original)
    double = forged(signed)
    double.set("ID", signed.get("ID"))
    yield "two of one ID", document(double, copy.deepcopy(signed))


@suite.check("refused: nine ways to wrap a signed assertion so that another one is used")
def _():
    found = {name: post(root) for name, root in wrappings()}
    equal(len(found), 9)
    admitted = {name: answer for name, answer in found.items() if answer["verdict"] != "refused"}
    assert not admitted, admitted


@suite.check("refused: encrypted or missing assertions, a failed status, document types, what is too long or no XML")
def _():
    root = etree.fromstring(genuine)
    root.remove(root.find("a:Assertion", NS))
    refused(root, "no assertion")
    etree.SubElement(root, f"{{{NS['a']}}}EncryptedAssertion")
    refused(root, "encrypted")
    failed = put("//p:StatusCode", "urn:oasis:names:tc:SAML:2.0:status:Responder", "Value")
    refused(response(failed), "status")
    entity = b'<!DOCTYPE r [<!ENTITY who "' + ADA.encode() + b'">]>'
    refused(entity + etree.tostring(response()).replace(ADA.encode(), b"&who;"), "document type")

    def long(root, assertion):
        assertion.find(".//a:AttributeStatement", NS)[0][0].text = "x" * 50_000

    refused(response(long), "longer than 50000")
    refused(b"<a", "well-formed")
    refused(b"<a/>", "not a SAML 2.0 Response")
    found = control.post("/console/aws/saml-response", {"samlResponse": "%%%"})
    equal(found["reason"], "the response is not base64")


@suite.check("refused: a certificate that AWS does not trust any more")
def _():
    sha256 = x509.load_pem_x509_certificate(trusted[1].encode()).fingerprint(hashes.SHA256()).hex()
    assert sha256 in [c["sha256"] for c in control.get("/console/aws/idp-certificates")]
    control.call("DELETE", f"/console/aws/idp-certificates/{sha256}")
    refused(response(), "none of the 1 imported")
    equal(sign_in(ADA)["verdict"], "admitted")
    found = sign_in(BEN)
    equal((found["verdict"], found["refusedBy"]), ("refused", "entra"))


suite.finish(coverage=False)
