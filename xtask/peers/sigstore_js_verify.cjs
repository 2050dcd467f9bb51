// Verifies bundles offline with the verifier of npm. Usage: node sigstore_js_verify.cjs MODULES CASES.json
//
// MODULES is the folder with node_modules; CASES.json is a list of objects with the paths "bundle",
// "artifact" and "trusted_root", and with "identity" and "issuer". Prints one JSON list with "ok" or
// the error of each.

const crypto = require("crypto");
const fs = require("fs");
const { createRequire } = require("module");
const path = require("path");

const from = createRequire(path.join(process.argv[2], "package.json"));
const { bundleFromJSON } = from("@sigstore/bundle");
const { TrustedRoot } = from("@sigstore/protobuf-specs");
const { Verifier, toSignedEntity, toTrustMaterial } = from("@sigstore/verify");

function check(one) {
  const root = TrustedRoot.fromJSON(JSON.parse(fs.readFileSync(one.trusted_root)));
  const bundle = bundleFromJSON(JSON.parse(fs.readFileSync(one.bundle)));
  const artifact = fs.readFileSync(one.artifact);
  const policy = {
    subjectAlternativeName: one.identity,
    extensions: { issuer: one.issuer },
  };
  const isStatement = bundle.content.$case === "dsseEnvelope";
  const entity = toSignedEntity(bundle, isStatement ? undefined : artifact);
  new Verifier(toTrustMaterial(root)).verify(entity, policy);
  if (isStatement) {
    // The client leaves it to the caller to bind the statement to the artifact.
    const statement = JSON.parse(bundle.content.dsseEnvelope.payload.toString());
    const digest = crypto.createHash("sha256").update(artifact).digest("hex");
    if (!statement.subject.some((subject) => subject.digest.sha256 === digest)) {
      throw new Error("the artifact is not a subject of the statement");
    }
  }
}

const answers = JSON.parse(fs.readFileSync(process.argv[3])).map((one) => {
  try {
    check(one);
    return "ok";
  } catch (error) {
    return `${error.name}: ${error.message}`.slice(0, 300);
  }
});
console.log(JSON.stringify(answers));
