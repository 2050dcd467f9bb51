//! The one table of error codes, from which `custos explain` and `docs/reference/errors.md` are
//! made. A code never changes its meaning and is never given out twice.

/// One error code.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The stable code.
    pub code: &'static str,
    /// What it says, in one line.
    pub title: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// Returns the entry of a code.
pub fn find(code: &str) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| entry.code == code)
}

const fn entry(
    code: &'static str,
    title: &'static str,
    meaning: &'static str,
    remedy: &'static str,
) -> Entry {
    Entry {
        code,
        title,
        meaning,
        remedy,
    }
}

/// Every code, in order. Tens: 00 usage, 01 verification, 02 files and trees, 03 steps, 04 log,
/// 05 policy and gate, 06 store, 07 keys, 08 trust, 09 registries, 10 scans.
pub const TABLE: &[Entry] = &[
    entry(
        "E0001",
        "an internal rule of Custos was broken",
        "Custos found itself in a state that its authors ruled out. Nothing was written after that.",
        "Please report it with the command and this text; SECURITY.md says how if it may be a vulnerability.",
    ),
    entry(
        "E0002",
        "wrong usage",
        "The command line is not understood, or asks for something that does not exist or does not fit together.",
        "Read the command's --help; its examples cover the usual cases.",
    ),
    entry(
        "E0003",
        "no such file or folder",
        "A path that was named does not lead to what is needed there: it is missing, or a folder where a file is needed.",
        "Check the path; relative paths start at the working folder, those in custos.toml at its folder.",
    ),
    entry(
        "E0004",
        "a file cannot be read or written",
        "The operating system refused. Nothing half-written is left behind.",
        "Check permissions and whether the file system is mounted read-only; the reason stands below the error.",
    ),
    entry(
        "E0005",
        "the disk is full",
        "A write did not fit. What had been acknowledged before is safe.",
        "Free some space and run the command again.",
    ),
    entry(
        "E0006",
        "a file is too large",
        "Every file that Custos parses has a limit, so that a hostile file cannot exhaust memory.",
        "Check that it is the right file. Limits are listed in docs/reference/limits.md.",
    ),
    entry(
        "E0007",
        "a file is not UTF-8 text",
        "Settings, keys and policies are UTF-8.",
        "Save the file as UTF-8; for a key, use its PEM form.",
    ),
    entry(
        "E0008",
        "the file exists",
        "Custos never overwrites keys, settings or other people's files.",
        "Name another file, or move the existing one away.",
    ),
    entry(
        "E0010",
        "no home",
        "There is no folder where keys, log and store could lie, or what should be one is a file.",
        "Run `custos init` in your project, set CUSTOS_HOME, or pass --home DIR.",
    ),
    entry(
        "E0011",
        "the settings are not accepted",
        "custos.toml has an unknown key, a wrong type, or names something that does not exist. Misspelt settings are errors, because a misspelt signer must not silently change who is trusted.",
        "Mend the line that the error names; docs/reference/settings.md lists every key.",
    ),
    entry(
        "E0012",
        "this kind of artifact is not supported here",
        "The artifact's scheme is known, but this command reads only local paths and digests.",
        "Fetch the artifact first and name its path, or name its digest.",
    ),
    entry(
        "E0101",
        "the bundle is not accepted",
        "The bytes are not a Sigstore bundle of a known version: not JSON, a duplicate key, an unknown field, too large, too deep, or none or several of a part that must be there once.",
        "Check that it is the right file, and that it was not cut off. Sign again with a current client.",
    ),
    entry(
        "E0102",
        "the envelope is not accepted",
        "The bytes are not a DSSE envelope, or it has no signature or too many.",
        "Check that it is the right file. Sign again with a current client.",
    ),
    entry(
        "E0103",
        "the payload is not an in-toto statement",
        "The signature covers something else than an in-toto statement. Only statements are evidence here.",
        "Get the right bundle, or verify a plain file signature as such.",
    ),
    entry(
        "E0104",
        "the statement is not accepted",
        "The signed payload is broken, or its predicate does not have the shape of its type. A genuine signature does not mend that.",
        "Have the statement made and signed again.",
    ),
    entry(
        "E0105",
        "the statement is of another type",
        "The predicate type is not one that was asked for.",
        "Ask for the type that you need, or fetch the right bundle.",
    ),
    entry(
        "E0106",
        "the statement is about another artifact",
        "The signature is genuine, but the statement's subject is not this artifact.",
        "Check that signature and artifact belong together; the artifact may have changed since it was signed.",
    ),
    entry(
        "E0107",
        "the log entry does not belong to this signature",
        "The bundle carries a log entry of another signature, digest or signer. A genuine entry with a genuine proof proves nothing about another envelope.",
        "Someone attached another signature's entry, or the file was signed again without being logged. Sign it again.",
    ),
    entry(
        "E0108",
        "the signer is not expected",
        "The signature may be genuine, but it is by somebody who is not among the expected signers.",
        "If the signer is right, add them to custos.toml or name them on the command line; if not, do not use the artifact.",
    ),
    entry(
        "E0109",
        "the signature does not verify",
        "The signature is not one by the expected key over exactly these bytes: the statement was changed, or signed by another key.",
        "Get artifact and signature again from their source. If it stays so, treat the artifact as tampered with.",
    ),
    entry(
        "E0110",
        "nobody is expected",
        "A verification needs to know whom to expect. There is no way to accept any signer.",
        "Pass --key or --certificate-identity, or list [[signer]] in custos.toml.",
    ),
    entry(
        "E0111",
        "the bundle contradicts the expected key",
        "The bundle carries a key, a hint or key details that are not those of the expected key.",
        "If this signer is right, add them as expected; if not, do not use the artifact.",
    ),
    entry(
        "E0112",
        "the certificate is not accepted",
        "The certificate is malformed, not for signing, does not chain to a trusted authority, or a bare key stands where a certificate belongs.",
        "Check --certificate-chain. Roots inside a bundle are never trusted.",
    ),
    entry(
        "E0113",
        "the certificate is not valid now",
        "Certificates without a trusted timestamp are judged at the current time.",
        "Have it signed again with a certificate that is valid now, and check this machine's clock.",
    ),
    entry(
        "E0114",
        "the signature is in no log",
        "The bundle has no log entry, or none of the log that is required.",
        "Pass --allow-unlogged if that is acceptable, or have the artifact signed with a log.",
    ),
    entry(
        "E0115",
        "the log is not trusted",
        "No entry of the bundle is of a log whose key is known here. A log's key is never taken from the bundle or from the log.",
        "If you trust that log, pass --log-key or add [[log]] to custos.toml; `custos log key` prints it on the log's machine.",
    ),
    entry(
        "E0116",
        "the log entry is of another kind",
        "A Custos log takes only `hashedrekord` 0.0.2 entries.",
        "The log part was not written by a Custos log; do not trust this bundle.",
    ),
    entry(
        "E0117",
        "the log entry has no proof",
        "An entry counts only with an inclusion proof and a signed checkpoint.",
        "Have the signature logged again.",
    ),
    entry(
        "E0118",
        "the log's checkpoint is not accepted",
        "The checkpoint is unreadable or not signed by the trusted log's key.",
        "The proof was changed or comes from another log; do not trust this bundle.",
    ),
    entry(
        "E0119",
        "the inclusion proof does not hold",
        "The proof does not lead from this entry to the checkpoint's root.",
        "The proof was changed or comes from another log; do not trust this bundle.",
    ),
    entry(
        "E0120",
        "a field contradicts the proof",
        "An index, size or root beside the proof differs from what the verified checkpoint says.",
        "The bundle was changed after it was written; do not trust it.",
    ),
    entry(
        "E0121",
        "two entries of one log",
        "One of them is there to confuse; a bundle has one entry a log.",
        "Do not trust this bundle.",
    ),
    entry(
        "E0122",
        "a timestamp does not hold",
        "A timestamp of the bundle is over another signature, is not signed by the authority whose certificate the trusted root names, lies outside the time that authority is trusted for, or is by no authority of the trust root where nothing else says when it was signed.",
        "Use a trusted root that names the timestamp authority; if it does, do not trust this bundle.",
    ),
    entry(
        "E0123",
        "a trusted time lies in the future",
        "A timestamp or log time is later than this machine's clock allows.",
        "Check this machine's clock.",
    ),
    entry(
        "E0124",
        "another kind of content",
        "A statement was asked for and a plain file signature was found, or the other way round.",
        "Name the right bundle.",
    ),
    entry(
        "E0125",
        "no digest of the artifact",
        "A verification needs the artifact's digest; without one nothing would be bound.",
        "Name the artifact by path or digest.",
    ),
    entry(
        "E0126",
        "the Sigstore bundle does not hold",
        "The bundle does not satisfy the given Sigstore trusted root: certificate, log, timestamp or identity.",
        "The reason says which part. Check --trusted-root, --certificate-identity and --certificate-oidc-issuer.",
    ),
    entry(
        "E0127",
        "too many candidate signatures",
        "More signatures were offered than are looked at.",
        "Pass fewer bundles, or the one that matters.",
    ),
    entry(
        "E0128",
        "the certificate was not promised to the public",
        "A Sigstore authority has every certificate put into a transparency log and embeds the log's promise (SCT). Here it is missing, is by no log of the trusted root, or is not over this certificate.",
        "Use the trusted root of the instance that issued the certificate; if it is that, do not trust this bundle.",
    ),
    entry(
        "E0129",
        "the log's promise does not hold",
        "The signed entry timestamp of a Rekor v1 entry is not by the log's key of the trusted root, or not over this entry, number and time.",
        "Do not trust this bundle. Get it again from its source.",
    ),
    entry(
        "E0130",
        "the artifact differs from what was signed",
        "The signature is genuine, but files were changed, added, removed or renamed since. The differences are listed.",
        "Get the artifact again from its source, or have it signed again if the change is intended.",
    ),
    entry(
        "E0131",
        "no signature was found",
        "There is no signature beside the artifact.",
        "Pass --bundle FILE, or sign it with `custos sign`.",
    ),
    entry(
        "E0132",
        "what should be trusted is not accepted",
        "A log key, an authority's certificate or a Sigstore trusted root is malformed.",
        "Check the file or text that the error names.",
    ),
    entry(
        "E0133",
        "nobody vouches for the time of signing",
        "The certificate lived for minutes. Without a trusted time inside them (a timestamp, or an entry whose log vouches for its time) it proves nothing.",
        "Have it signed again with a timestamp; current clients of Sigstore add one.",
    ),
    entry(
        "E0201",
        "a tree is not accepted",
        "The folder holds something that cannot be signed faithfully: a symbolic link, a name that is not UTF-8, a device, too many files, or no file at all.",
        "Remove it or list it with --ignore-paths; --allow-symlinks follows links inside the tree.",
    ),
    entry(
        "E0202",
        "a file changed while it was read",
        "Size, times or identity of a file differed before and after hashing. A digest of such a file would describe nothing that ever existed.",
        "Wait until nothing writes to the folder, and run the command again.",
    ),
    entry(
        "E0203",
        "a manifest is not accepted",
        "The list of files in a signature breaks the rules of OpenSSF Model Signing: unknown hash, duplicate or absolute names, a root digest that does not fit its list.",
        "Sign again with a current client; if you did not make the signature, distrust it.",
    ),
    entry(
        "E0301",
        "an input is not proven",
        "`--require` found that an input has no accepted statement, was changed since it was attested, or does not satisfy the policy. The command was not started.",
        "Look at `custos trace INPUT`. Restore the input, or run the step that makes it under `custos run`.",
    ),
    entry(
        "E0302",
        "the command failed",
        "The step's command ended with an error or was killed. A failed step signs nothing.",
        "Mend the step; its own output says what went wrong.",
    ),
    entry(
        "E0303",
        "an input changed during the step",
        "An input differed before and after the command. The statement would name something that the step may not have read.",
        "Make the step copy what it changes, and declare the copy as a product.",
    ),
    entry(
        "E0304",
        "a product is missing or not as declared",
        "A declared product was not written, or the step wrote beside what it declared.",
        "Declare every output with --product, or make the step write where it says.",
    ),
    entry(
        "E0305",
        "the step cannot start",
        "The command was not found or could not be started, or an input does not exist.",
        "Check the command behind `--` and the paths of --input.",
    ),
    entry(
        "E0306",
        "the layout is not accepted",
        "The pipeline layout is malformed, expired, names unknown signers or has no steps.",
        "Mend the file that the error names; docs/reference/layout.md describes it.",
    ),
    entry(
        "E0401",
        "the log is in use",
        "Another process holds the log for longer than ten seconds.",
        "Run the command again when the other one has finished.",
    ),
    entry(
        "E0402",
        "the log cannot be read or written",
        "A file of the log could not be accessed, or there is no log yet.",
        "Check the home with `custos doctor`; a log is made by the first `custos sign`, `run` or `attest`.",
    ),
    entry(
        "E0403",
        "the log contradicts itself",
        "What is on disk does not lead to the signed checkpoint: entries were changed or removed, or two histories exist.",
        "Stop writing to it, keep a copy, and compare with checkpoints that others hold. See docs/concepts/log.md.",
    ),
    entry(
        "E0404",
        "there is no such entry",
        "The log has fewer entries than the index asks for.",
        "`custos log checkpoint` prints the size; indexes start at 0.",
    ),
    entry(
        "E0405",
        "the log is not rebuilt",
        "`custos log rebuild` goes on after a lost write-ahead log; there is nothing to rebuild, or nothing says how far the log had come.",
        "Give the newest checkpoint that anybody holds with --checkpoint; without one, say --accept-loss.",
    ),
    entry(
        "E0406",
        "our key signed something that we did not record",
        "The log has an entry by a key or identity of ours, and no statement of it lies in this home's store. Somebody else may be using the key.",
        "Find out who signed it. If nobody did, `custos keys revoke KEY --since TIME`, and `custos keys impact KEY` for what rests on it.",
    ),
    entry(
        "E0407",
        "the log was not followed to its end",
        "The log to be watched could not be reached, or what it served was incomplete. This is an outage, and no proof of anything else.",
        "Try again; a log that stays away for long deserves a question to its owner.",
    ),
    entry(
        "E0408",
        "what waits for the log cannot be kept or read",
        "The spool of statements that were signed while a log or a timestamp authority was away is full, one of them is damaged, or another command is at work on it.",
        "`custos log flush` logs what waits; a damaged file of the spool has to be looked at by hand.",
    ),
    entry(
        "E0501",
        "the policy is not accepted",
        "A policy does not compile, or has a construct that fails open: see the lint's name and line.",
        "Mend the rule; docs/concepts/policy.md shows a safe form for each lint.",
    ),
    entry(
        "E0502",
        "the policy denies",
        "The policy was evaluated, and the answer is no. Each reason is listed.",
        "Mend what the reasons name, or change the policy through its owners.",
    ),
    entry(
        "E0503",
        "the policy could not decide",
        "Evaluation ended with an error, took too long, or gave no answer. That is never a yes.",
        "Run `custos policy check` and `custos policy test`.",
    ),
    entry(
        "E0504",
        "a policy test failed",
        "A rule that begins with test_ is not true.",
        "Mend the policy or its test.",
    ),
    entry(
        "E0601",
        "the store cannot be used",
        "The database or the blob folder could not be opened, is locked, read-only, or was written by a newer Custos.",
        "See the reason; `custos doctor` checks the store.",
    ),
    entry(
        "E0602",
        "the store is damaged",
        "The database, or a bundle in it, is not what was written. The database holds the index and the bundles up to 1 MiB, so it must not be deleted.",
        "Keep a copy of the home. `custos evidence check` says what is damaged, `custos evidence reindex` rebuilds the index from the statements; what is lost comes from a backup, or from bundles elsewhere by `custos evidence add`.",
    ),
    entry(
        "E0603",
        "nothing is known about the artifact",
        "No statement in the store has this artifact as subject or material.",
        "Check the path; `custos run` and `custos attest` record statements.",
    ),
    entry(
        "E0701",
        "there is no such key",
        "Neither the home's keys folder nor the working folder has a key of that name.",
        "`custos keys list` shows the keys; `custos keys generate NAME` makes one.",
    ),
    entry(
        "E0702",
        "the key is not accepted",
        "The file is not a supported key, or is damaged.",
        "Keys are PKCS#8 PEM, or cosign's encrypted form, on P-256, P-384, P-521 or Ed25519.",
    ),
    entry(
        "E0703",
        "the password is wrong",
        "The key file did not open with this password.",
        "Try again; there is no way to recover a lost password.",
    ),
    entry(
        "E0704",
        "no password",
        "The key is encrypted, and there is no terminal to ask on.",
        "Pass --password-file FILE.",
    ),
    entry(
        "E0705",
        "no signing key",
        "Nothing says which key signs.",
        "Pass --key NAME, or set `[signing] key` in custos.toml; `custos keys generate NAME` makes one.",
    ),
    entry(
        "E0706",
        "the certificate does not fit the key",
        "The certificate's public key is not the one that signs.",
        "Name the certificate that was issued for this key.",
    ),
    entry(
        "E0707",
        "a key reference is not accepted",
        "What names the key is not of a known form, fits more than one key, or names it in a way that gives a secret away.",
        "docs/reference/keys.md lists the kinds of keys. Keys in environment variables (`env://`) and PINs in URIs (`pin-value`) are never taken.",
    ),
    entry(
        "E0708",
        "the key service refuses",
        "The service answered, and says no: it does not know who asks, this account may not use the key, or the key is disabled.",
        "See the reason; check the account and its permissions at the service.",
    ),
    entry(
        "E0709",
        "the key service does not answer",
        "The service that holds the key could not be reached, is busy or out of order, or the token failed. Nothing was signed.",
        "Try again later. A verification with a public key in a file needs no service.",
    ),
    entry(
        "E0710",
        "a key service is not set up here",
        "What the service needs is missing or wrong on this machine: an address, credentials, a kubeconfig, a PKCS#11 module.",
        "docs/reference/keys.md lists for each service which files and variables it takes.",
    ),
    entry(
        "E0711",
        "the answer of a key service is not used",
        "The service answered for another key, with a signature that does not verify, or in a form that it does not document.",
        "Try again. If it lasts, something between here and the service changes answers, or the service is broken.",
    ),
    entry(
        "E0712",
        "the token takes no PIN",
        "The token has locked its PIN, or has one try left, which Custos does not risk.",
        "Log in once with the token's own tool, or unlock it there.",
    ),
    entry(
        "E0720",
        "there is no identity token",
        "Keyless signing needs a token that says who signs, and there is none: no --identity-token, no CI job that gives one, nobody to log in.",
        "Pass --identity-token FILE; in GitHub Actions add `id-token: write` to the permissions; else use --oidc device or --oidc browser.",
    ),
    entry(
        "E0721",
        "the identity token is not accepted",
        "The token does not parse, has expired, is for another audience, or the certificate authority refused it.",
        "Get a new token; its audience is `sigstore` unless the authority's issuer settings say otherwise.",
    ),
    entry(
        "E0722",
        "a signing service did not answer",
        "The certificate authority, the timestamp authority, the log or the token issuer could not be reached, or is busy. Nothing was signed that anybody could take for complete.",
        "Try again; the address comes from the signing configuration. `custos serve` starts the home's own services. With `[signing] pending_hours` in the settings what a key signs waits for them.",
    ),
    entry(
        "E0723",
        "a signing service's answer is not accepted",
        "A certificate, timestamp or log entry came back that does not verify with the trusted root, or is not about what was sent.",
        "Check that signing configuration and trusted root belong together. If they do, the service, or somebody in between, is not what it claims.",
    ),
    entry(
        "E0724",
        "the signing configuration is not accepted",
        "It does not parse, or names no service of the kind that is needed that counts now and that Custos speaks.",
        "Get the current configuration; docs/reference/keyless.md says what is read.",
    ),
    entry(
        "E0730",
        "the server does not start",
        "The address is taken or not this machine's, or the server would speak plain HTTP to others.",
        "Choose another --listen address; add --tls, or --behind-proxy where a proxy speaks TLS.",
    ),
    entry(
        "E0731",
        "the server stopped, as its log cannot be written",
        "A write or sync of the log failed, and what is on the disk must be looked at first. Nothing that was acknowledged is lost.",
        "Free space or mend the disk, run `custos log fsck`, start it again.",
    ),
    entry(
        "E0732",
        "the settings of the server are not accepted",
        "An issuer, a file of tokens, a certificate or a key that the server was told to use cannot be used.",
        "See the reason; docs/reference/server.md describes each.",
    ),
    entry(
        "E0801",
        "the key was revoked or replaced",
        "The signature is by a key that no longer counts, and neither a log index nor a trusted time proves that it was made before that. It does not matter when it says that it was made.",
        "Do not use the artifact. `custos keys impact KEY` lists what else rests on that key; have it made again and signed by a key that counts.",
    ),
    entry(
        "E0802",
        "the list of revoked keys is not accepted",
        "The list does not parse, is missing although the trust root delivers one, or takes back a revocation.",
        "`custos trust update` fetches it again. A key that was revoked never comes back.",
    ),
    entry(
        "E0803",
        "this does not approve it",
        "The key is not one of those that the trust root asks, the file is no proposal, or the home has no root role.",
        "`custos trust status` lists the keys of the root role.",
    ),
    entry(
        "E0804",
        "the policy was not approved",
        "The home has a list of policies that the root role approved, and this one is not in it, or the list cannot be read.",
        "`custos keys approve POLICY --key NAME`, by as many keys as the root role asks for.",
    ),
    entry(
        "E0810",
        "there is no trust root here yet",
        "The home has no authority of its own.",
        "`custos trust init` makes one.",
    ),
    entry(
        "E0811",
        "there is a trust root here already",
        "A trust root is never overwritten: what was signed under it would lose its ground.",
        "`custos trust show` prints it. For another one use another home.",
    ),
    entry(
        "E0812",
        "the authority cannot be used, or such a certificate cannot be made",
        "A certificate and its key do not belong together, or a name cannot stand in a certificate.",
        "See the reason; names are host names or addresses, an organisation has 1 to 64 characters.",
    ),
    entry(
        "E0813",
        "a certificate of the home's authority has ended",
        "The issuing or the timestamp certificate is not valid now.",
        "Check the machine's clock; else new certificates below the root are needed.",
    ),
    entry(
        "E0814",
        "the log has another name already",
        "A log's name is part of every checkpoint that it signed.",
        "Leave out --host, or begin with a new home.",
    ),
    entry(
        "E0821",
        "what was offered as trust root is not the team's",
        "Metadata or files came that too few keys signed, that are older than what was seen before, or that are not what was signed. Somebody between here and the owners of the root changed something, or a server was rolled back.",
        "Nothing was changed here. Try another place, and ask the owners of the root.",
    ),
    entry(
        "E0822",
        "the trust root could not be brought up to date",
        "A file could not be fetched, read or written, is damaged here, or lies with a delegated role. What is here goes on counting.",
        "Try again; `custos trust update --from DIR` takes it from a folder, and `--reset` begins anew where what was seen last is damaged.",
    ),
    entry(
        "E0823",
        "the trust root has expired",
        "Nobody has vouched for the trust root since: its owners stopped publishing, or somebody keeps newer metadata from this machine.",
        "Check the machine's clock; ask the owners to run `custos trust publish`, or fetch from another place.",
    ),
    entry(
        "E0824",
        "this is no trust root, or none is followed here",
        "The file is no TUF root whose own keys signed it, or the home follows none, or another one.",
        "Get root.json from the owners of the root, with its digest, and run `custos trust add-root`.",
    ),
    entry(
        "E0901",
        "this names nothing in a registry",
        "The reference does not follow the grammar of registries, or names a tag where a digest is needed.",
        "Write oci://HOST/NAME@sha256:DIGEST; docs/reference/oci.md has the grammar.",
    ),
    entry(
        "E0902",
        "the registry gave no usable answer",
        "The registry, or its token service, could not be reached, failed, or answered in a form that is not of the specification.",
        "See the reason; try again later. Nothing follows about what the registry holds.",
    ),
    entry(
        "E0903",
        "the registry does not allow it",
        "The registry asks for credentials that were not found, or refuses those that it was shown.",
        "Run `docker login HOST` or `podman login HOST`, and check that the account may read, or write, the repository.",
    ),
    entry(
        "E0904",
        "the registry sent something else",
        "What came is not what was asked for: its digest or size differs, or it can be read in two ways.",
        "Do not use it. Ask whoever runs the registry, or fetch it from another one.",
    ),
    entry(
        "E0905",
        "the registry has no such thing",
        "The registry says that the repository, tag or manifest does not exist.",
        "Check the name. A tag may have been moved or removed; a digest stays what it is.",
    ),
    entry(
        "E0906",
        "the image has no signature of this kind",
        "Every place where signatures lie could be looked at, and none of them holds a signature of the kind that was asked for.",
        "Sign it with `custos sign`, or name the manifest that was signed: the index and the images in it are different things.",
    ),
    entry(
        "E0907",
        "whether the image is signed could not be found out",
        "No signature that holds was found, and not every place could be looked at. That is not the same as no signature.",
        "See the reasons; try again when the registry works.",
    ),
    entry(
        "E0908",
        "the list of signatures does not keep this one",
        "The registry keeps no list of referrers itself, and somebody else writes the list under the fallback tag at the same time.",
        "Run it again. If it stays, let one writer at a time sign this image.",
    ),
    entry(
        "E0909",
        "this is no signature of the image",
        "Something is listed as a signature of the image, but refers to something else or is not in its form.",
        "Nothing, if another signature holds. Otherwise have the image signed again.",
    ),
    entry(
        "E0910",
        "credentials for the registry could not be had",
        "The configuration file of Docker or Podman, or the helper that it names, did not give credentials in a form that is understood.",
        "See the reason; `docker-credential-NAME list` shows whether the helper works.",
    ),
    entry(
        "E1001",
        "something was found that may hurt whoever loads it",
        "The scanner found something at or above the level that counts, `--fail-on`; what, where and why stands above the error.",
        "Do not load the file. `custos scan --explain RULE` says more. If it is meant to be so, somebody answers for it in a file of suppressions.",
    ),
    entry(
        "E1002",
        "this cannot be scanned",
        "What was named is neither a file nor a folder: a pipe, a socket or a device has no end that is known; or it lies in a place that is not read here.",
        "Pass it on standard input: `custos scan - < FILE`.",
    ),
    entry(
        "E1003",
        "the suppressions are not accepted",
        "The file is not TOML, or has something else than tables [[suppress]]. One entry that is not in order is told and suppresses nothing, and is no error.",
        "Mend the file; docs/scanning.md shows one.",
    ),
    entry(
        "E1004",
        "the baseline is no report",
        "The file is not what `custos scan` writes as JSON. Nothing is taken for known then.",
        "Write one with `custos scan PATH --write-baseline FILE`.",
    ),
    entry(
        "E1005",
        "there is no such rule",
        "Rules have a group and a name, such as pickle/dangerous-call. They never change their meaning.",
        "`custos scan --list-rules` lists them.",
    ),
    entry(
        "E1006",
        "not everything was looked at",
        "Nothing that counts was found in what was looked at. Part of a file was not understood, a limit ended the look, a file could not be read, or there was none: that is no yes.",
        "See the reasons. Raise the limit that is named, or leave out with `--exclude` what is no part of the model. `--strict` makes it a no.",
    ),
    entry(
        "E1007",
        "what is known about packages is not accepted",
        "The database of known vulnerabilities is not a folder or zip of OSV records.",
        "Get all.zip of an ecosystem from OSV, or name the folder it was unpacked into.",
    ),
    entry(
        "E1008",
        "the scan cannot be stated",
        "Nothing was read whose digest a statement could be about, or there are more files than a statement holds.",
        "Scan less at once, or mend what keeps the files from being read.",
    ),
    entry(
        "E1009",
        "no such bucket",
        "What was named is not of the form s3://BUCKET/PREFIX or az://CONTAINER/PREFIX, or the service knows no bucket of that name.",
        "Check the name, and which account and endpoint are asked.",
    ),
    entry(
        "E1010",
        "access to the bucket is not set up",
        "No credentials, or not all that the service needs, were found in the variables and files that the clouds' own tools read.",
        "Set what is named; docs/reference/keys.md lists the variables.",
    ),
    entry(
        "E1011",
        "the bucket does not allow it",
        "The service knows who asks, and says no to listing or reading.",
        "Give whoever asks the right to list the bucket and to read its objects, or use other credentials.",
    ),
    entry(
        "E1012",
        "the bucket gave no usable answer",
        "The service could not be reached, or what it answered is not used. Nothing was looked at.",
        "Try again later. If the bucket is in another region, set AWS_REGION.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn sources(dir: &std::path::Path, into: &mut String) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, into);
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("codes.rs") {
                into.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn every_code_in_use_is_explained_once() {
        let mut text = String::new();
        sources(
            &std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut text,
        );
        let used: BTreeSet<&str> = text
            .match_indices("\"E")
            .filter_map(|(at, _)| text.get(at + 1..at + 7))
            .filter_map(|code| code.strip_suffix('"'))
            .filter(|code| code[1..].bytes().all(|b| b.is_ascii_digit()))
            .collect();
        let known: Vec<&str> = TABLE.iter().map(|entry| entry.code).collect();
        let unique: BTreeSet<&str> = known.iter().copied().collect();
        assert_eq!(known.len(), unique.len(), "a code is given out twice");
        assert!(known.is_sorted());
        let unexplained: Vec<_> = used.difference(&unique).collect();
        assert!(unexplained.is_empty(), "{unexplained:?}");
    }
}
