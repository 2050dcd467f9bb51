//! `custos keys revoke` and `custos keys rotate`.

use custos_core::crypto::PublicKey;
use custos_trust::revocation::{Revocation, Revocations, Rotation, Who};
use serde_json::{Value, json};

use crate::args::{KeysGenerateArgs, RevokeArgs, RotateArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::files::shown;
use crate::key_life::{self, Found};
use crate::keys::{self, PUBLIC};
use crate::term::Role;
use crate::{Failure, Outcome};

/// Runs `custos keys revoke`.
pub fn revoke(args: &RevokeArgs, context: &Context) -> Outcome {
    let home = context.home()?;
    let who = key_life::who(&args.who, context)?;
    let found = key_life::boundary(&who, args.since, args.since_index, context)?;
    check_index(args.since_index, &found)?;
    if args.since > context.now() {
        context.term.warn(&format!(
            "{} lies in the future: until then a signature with a trusted timestamp still counts",
            args.since
        ));
    }
    if let (Who::Key(id), Some(role)) = (&who, key_life::root_role(&home)?)
        && role.keys.iter().any(|key| key.id() == *id)
    {
        context.term.warn(
            "it is a key of the root role as well: take it out of the root with `custos trust publish --root-key`",
        );
    }
    let one = Revocation::new(
        who.clone(),
        found.boundary.clone(),
        args.reason.as_str(),
        context.now(),
    );
    let list = key_life::load(&home)?.unwrap_or_else(Revocations::none);
    let list = list
        .with_revocation(one)
        .map_err(|error| key_life::failure(&error))?;
    let made = Made {
        what: format!("{who} no longer counts since {}", args.since),
        found: &found,
        list: &list,
        schema: "custos.keys.revoke/1",
    };
    made.finish(
        context,
        &json!({ "who": who.to_string(), "reason": args.reason }),
    )
}

// An index that is not there yet would let through whatever is signed until the log reaches it.
fn check_index(index: Option<u64>, found: &Found) -> Result<(), Failure> {
    let size = found.log.as_ref().map(|(_, size)| *size);
    match (index, size) {
        (Some(index), Some(size)) if index > size => {
            Err(Failure::usage("E0404", "the log has no such entry yet")
                .at(format!("--since-index {index}"))
                .because(format!(
                    "it has {size} entries, so {size} keeps all of them"
                )))
        }
        (Some(index), None) => Err(Failure::usage("E0404", "this home has no log")
            .at(format!("--since-index {index}"))
            .help("leave it out; without a log the time alone decides")),
        _ => Ok(()),
    }
}

/// Runs `custos keys rotate`.
pub fn rotate(args: &RotateArgs, context: &Context) -> Outcome {
    let home = context.home()?;
    let old = key_life::key_id(&args.old, context)?;
    let new = successor(args, context)?;
    let now = context.now();
    let mut found = key_life::boundary(&Who::Key(old), now, args.at_index, context)?;
    if args.at_index.is_none()
        && let Some((origin, size)) = found.log.clone()
    {
        // Whatever is there already is older than a rotation that happens now.
        found.boundary = found.boundary.with_log(origin, size);
        found.sure = key_life::Sure::Given;
    }
    let rotation = Rotation::new(old, new.clone(), found.boundary.clone(), now);
    let list = key_life::load(&home)?.unwrap_or_else(Revocations::none);
    let list = list
        .with_rotation(rotation)
        .map_err(|error| key_life::failure(&error))?;
    let made = Made {
        what: format!(
            "key:{} counts up to now, key:{} from now on, wherever the first is expected",
            old.short(),
            new.id().short()
        ),
        found: &found,
        list: &list,
        schema: "custos.keys.rotate/1",
    };
    made.finish(context, &json!({ "old": old, "new": new.id() }))
}

// The named key if the home has it, else a new one.
fn successor(args: &RotateArgs, context: &Context) -> Result<PublicKey, Failure> {
    let home = context.home()?;
    let taken = |name: &str| home.keys().join(format!("{name}.{PUBLIC}")).exists();
    let name = match &args.new {
        Some(name) if !keys::is_name(name) || taken(name) => {
            return keys::public(name, context);
        }
        Some(name) => name.clone(),
        None if keys::is_name(&args.old) => (2..1_000)
            .map(|n| format!("{}-{n}", args.old))
            .find(|name| !taken(name))
            .unwrap_or_default(),
        None => {
            return Err(Failure::usage("E0002", "the new key has no name")
                .help("pass --new NAME; the key is made if there is none of that name"));
        }
    };
    let generate = KeysGenerateArgs {
        name: Some(name.clone()),
        kind: custos_core::crypto::KeyKind::P256,
        output_prefix: None,
        password: args.password.clone(),
    };
    super::keys::make(&generate, context)?;
    context.term.note(&format!("made the key `{name}`"));
    keys::public(&name, context)
}

struct Made<'a> {
    what: String,
    found: &'a Found,
    list: &'a Revocations,
    schema: &'static str,
}

impl Made<'_> {
    fn finish(&self, context: &Context, more: &Value) -> Outcome {
        let proposed = key_life::apply_or_propose(self.list, context)?;
        let mut human = format!("{}\n", self.what);
        for (origin, first) in &self.found.boundary.logs {
            human.push_str(&format!(
                "log      {origin}: entries from #{first} on, {}\n",
                self.found.sure.told()
            ));
        }
        let kept = self.found.kept;
        if let Some(kept) = kept.filter(|kept| kept.timestamped < kept.signatures) {
            human.push_str(&format!(
                "         {} of the {} signatures before that have a trusted timestamp\n",
                kept.timestamped, kept.signatures
            ));
        }
        human.push_str(&format!(
            "list     version {}, {}\n",
            self.list.version(),
            context
                .term
                .paint(Role::Literal, &self.list.digest().to_string()),
        ));
        let mut result = json!({
            "schema": self.schema,
            "since": self.found.boundary.time,
            "logs": self.found.boundary.logs,
            "sure": self.found.sure.name(),
            "kept": kept.map(|kept| json!({
                "signatures": kept.signatures, "timestamped": kept.timestamped,
            })),
            "version": self.list.version(),
            "digest": self.list.digest(),
            "applied": proposed.is_none(),
            "proposal": proposed.as_ref().map(|(path, _)| shown(path)),
            "threshold": proposed.as_ref().map(|(_, role)| role.threshold),
        });
        if let (Value::Object(result), Value::Object(more)) = (&mut result, more) {
            result.extend(more.clone());
        }
        match &proposed {
            None => human.push_str("applied  in this home from now on\n"),
            Some((path, role)) => human.push_str(&format!(
                "waiting  for {} of {} keys of the root role:\n         {}\n",
                role.threshold,
                role.keys.len(),
                context.term.paint(
                    Role::Literal,
                    &format!("custos keys approve {} --key NAME", shown(path))
                ),
            )),
        }
        context.term.result(&human, &result)?;
        Ok(Exit::Yes)
    }
}
