//! The policies that the root role approved (`trust/policies.json`): where there is such a list,
//! the gate takes no other.

use custos_core::digest::Digest;
use custos_core::json;
use custos_core::limits::Limits;
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::files::{read_bytes, shown, write_atomic};
use crate::home::Home;
use crate::key_life::{POLICIES, alone, is_delivered};
use crate::policies::Policy;
use crate::report::Failure;

const SCHEMA: &str = "custos.policies/1";
const MAX_BYTES: u64 = 1 << 20;
/// Most policies that are approved at a time.
const MAX_POLICIES: usize = 1_000;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    schema: String,
    policies: Vec<Approved>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Approved {
    name: String,
    digest: Digest,
}

/// Adds a policy to the list.
pub fn add(home: &Home, policy: &Policy) -> Result<(), Failure> {
    let _alone = alone(home)?;
    let mut list = read(home)?.unwrap_or_else(|| List {
        schema: SCHEMA.to_owned(),
        policies: Vec::new(),
    });
    let one = Approved {
        name: policy.name.clone(),
        digest: *policy.digest(),
    };
    if !list.policies.iter().any(|known| known.digest == one.digest) {
        list.policies.push(one);
    }
    write(home, &list)
}

/// Takes a policy out of the list; returns false if it is not in it. The list stays, even an
/// empty one: without it every policy would do.
pub fn remove(home: &Home, policy: &Policy) -> Result<bool, Failure> {
    let _alone = alone(home)?;
    let Some(mut list) = read(home)? else {
        return Ok(false);
    };
    let before = list.policies.len();
    list.policies.retain(|one| one.digest != *policy.digest());
    if list.policies.len() == before {
        return Ok(false);
    }
    write(home, &list).map(|()| true)
}

fn write(home: &Home, list: &List) -> Result<(), Failure> {
    let bytes = json::to_pretty(list).map_err(|e| Failure::internal(&e.to_string()))?;
    write_atomic(&home.trust().join(POLICIES), &bytes)
}

/// Checks that a policy may decide here.
pub fn check(home: &Home, policy: &Policy) -> Result<(), Failure> {
    let Some(list) = read(home)? else {
        return Ok(());
    };
    if list
        .policies
        .iter()
        .any(|one| one.digest == *policy.digest())
    {
        return Ok(());
    }
    let names: Vec<String> = list.policies.into_iter().map(|one| one.name).collect();
    Err(Failure::new(
        "E0804",
        Exit::No,
        "this policy was not approved by the root role",
    )
    .at(policy.name.as_str())
    .because(format!("its digest is {}", policy.digest()))
    .because(if names.is_empty() {
        "none is approved now".to_owned()
    } else {
        format!("approved are: {}", names.join(", "))
    })
    .help(format!(
        "`custos keys approve {} --key NAME`, by as many keys as the root role asks for",
        policy.name
    )))
}

fn read(home: &Home) -> Result<Option<List>, Failure> {
    let path = home.trust().join(POLICIES);
    let damaged = |why: String| {
        Failure::undecided("E0804", "the list of approved policies is not accepted")
            .at(shown(&path))
            .because(why)
    };
    if !path.exists() {
        // A list that somebody took away must not mean that every policy will do.
        if is_delivered(home, POLICIES)? {
            return Err(
                damaged("the trust root delivers one, and it is not here".to_owned())
                    .help("`custos trust update` fetches it again"),
            );
        }
        return Ok(None);
    }
    let bytes = read_bytes(&path, MAX_BYTES)?;
    list_of(&bytes).map(Some).map_err(damaged)
}

/// Checks that bytes are such a list, and says why they are not.
pub fn parse(bytes: &[u8]) -> Result<(), String> {
    list_of(bytes).map(drop)
}

fn list_of(bytes: &[u8]) -> Result<List, String> {
    let list: List = json::from_slice(bytes, &Limits::SMALL).map_err(|error| error.to_string())?;
    if list.schema != SCHEMA || list.policies.len() > MAX_POLICIES {
        return Err(format!(
            "it is no list `{SCHEMA}` of at most {MAX_POLICIES} policies"
        ));
    }
    Ok(list)
}
