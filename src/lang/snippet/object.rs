//! Records and the environment as objects of the sandbox. Their ids travel with them; everything else is asked for.

use std::sync::atomic::{AtomicU64, Ordering};

use monty_types::{DictPairs, MontyClassInstance, MontyClassType, MontyObject, MontyUuid};
use sha2::{Digest, Sha256};

/// Records that the sandbox may ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle {
    /// Under which it asks.
    pub object: MontyUuid,
    /// Ids of the records.
    pub ids: Vec<i64>,
}

/// Some records of a model, in that order, each id once; and one handle for all of them and for each.
pub fn records(model: &str, ids: &[i64]) -> (MontyObject, Vec<Handle>) {
    let mut known: Vec<i64> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    known.extend(ids.iter().copied().filter(|id| seen.insert(*id)));
    let mut handles = Vec::new();
    let each = match known.len() {
        1 => None,
        _ => Some(
            known
                .iter()
                .map(|id| one(model, &[*id], None, &mut handles))
                .collect(),
        ),
    };
    let object = one(model, &known, each, &mut handles);
    (object, handles)
}

fn one(model: &str, ids: &[i64], each: Option<Vec<MontyObject>>, handles: &mut Vec<Handle>) -> MontyObject {
    let object = identity();
    handles.push(Handle {
        object,
        ids: ids.to_vec(),
    });
    let first = ids
        .first()
        .map_or(MontyObject::Bool(false), |id| MontyObject::Int(*id));
    let all = ids.iter().copied().map(MontyObject::Int).collect();
    let mut attributes = vec![
        ("id", first),
        ("ids", MontyObject::List(all)),
        ("_name", MontyObject::String(model.to_owned())),
        ("_sn_record", MontyObject::Bool(true)),
    ];
    attributes.extend(each.map(|each| ("_sn_each", MontyObject::List(each))));
    instance(model, object, attributes)
}

/// `env`: it asks under this identity.
pub fn environment(attributes: Vec<(&str, MontyObject)>) -> (MontyObject, MontyUuid) {
    let object = identity();
    let mut all = vec![("_sn_env", MontyObject::Bool(true))];
    all.extend(attributes);
    (instance("env", object, all), object)
}

fn instance(class: &str, object: MontyUuid, attributes: Vec<(&str, MontyObject)>) -> MontyObject {
    let attributes = attributes
        .into_iter()
        .map(|(name, value)| (MontyObject::String(name.to_owned()), value));
    MontyObject::ClassInstance(Box::new(MontyClassInstance {
        class_type: MontyClassType {
            name: class.to_owned(),
            id: class_identity(class),
            host_defined: true,
            is_dataclass: false,
            attrs: DictPairs::from(Vec::new()),
        },
        instance_id: object,
        attrs: attributes.collect(),
    }))
}

/// The same for every object of a class, in every run: records are equal where class and ids are.
fn class_identity(class: &str) -> MontyUuid {
    let digest = Sha256::digest(class.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    MontyUuid::from_random_bytes(bytes)
}

fn identity() -> MontyUuid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number);
    MontyUuid::from_random_bytes(bytes)
}
