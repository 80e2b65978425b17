//! What has changed from one view to the next. A view of ten thousand machines is megabytes of JSON, of which a look
//! changes some lines: a screen elsewhere is told the whole once, and from then on the changes alone.
//!
//! Every field of the view is named in `view`, each with how a change of it is told; one that is missing there does not
//! compile.

mod rows;
mod view;

pub(super) use view::ViewChange;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How a value became another.
pub(super) trait Change: Sized {
    type Of;

    /// `None`: it is the same.
    fn between(old: &Self::Of, new: &Self::Of) -> Option<Self>;

    /// Makes the new value of the old one.
    fn apply(self, to: &mut Self::Of) -> Result<(), Mismatch>;
}

/// A change is not of the value that it is applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a change is of a row that is not there")]
pub(super) struct Mismatch;

/// The new value as it is. In brackets, so that one that is `null` is not taken for no change.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Whole<T>((T,));

impl<T: PartialEq + Clone> Change for Whole<T> {
    type Of = T;

    fn between(old: &T, new: &T) -> Option<Self> {
        (old != new).then(|| Self((new.clone(),)))
    }

    fn apply(self, to: &mut T) -> Result<(), Mismatch> {
        let Self((new,)) = self;
        *to = new;
        Ok(())
    }
}

/// A change of a value that is shared: the same place is the same value.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Shared<C>(C);

impl<C: Change> Change for Shared<C>
where
    C::Of: Clone,
{
    type Of = Arc<C::Of>;

    fn between(old: &Self::Of, new: &Self::Of) -> Option<Self> {
        if Arc::ptr_eq(old, new) {
            return None;
        }
        C::between(old, new).map(Self)
    }

    fn apply(self, to: &mut Self::Of) -> Result<(), Mismatch> {
        self.0.apply(Arc::make_mut(to))
    }
}

/// The entries of a map that are new or other, and those that are gone.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(serialize = "K: Ord + Serialize, V: Serialize"))]
#[serde(bound(deserialize = "K: Ord + DeserializeOwned, V: DeserializeOwned"))]
pub(super) struct Map<K, V> {
    #[serde(default = "BTreeMap::new", skip_serializing_if = "BTreeMap::is_empty")]
    put: BTreeMap<K, V>,
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    gone: Vec<K>,
}

impl<K: Ord + Clone, V: PartialEq + Clone> Change for Map<K, V> {
    type Of = BTreeMap<K, V>;

    fn between(old: &Self::Of, new: &Self::Of) -> Option<Self> {
        let put = new.iter().filter(|(key, value)| old.get(key) != Some(value));
        let put: BTreeMap<K, V> = put.map(|(key, value)| (key.clone(), value.clone())).collect();
        let gone: Vec<K> = old.keys().filter(|key| !new.contains_key(key)).cloned().collect();
        (!put.is_empty() || !gone.is_empty()).then_some(Self { put, gone })
    }

    fn apply(self, to: &mut Self::Of) -> Result<(), Mismatch> {
        for key in self.gone {
            to.remove(&key);
        }
        to.extend(self.put);
        Ok(())
    }
}

/// A change of a structure, field by field.
macro_rules! fields {
    ($(#[$doc:meta])* $name:ident of $whole:ident { $($field:ident: $change:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, serde::Serialize, serde::Deserialize)]
        pub(in crate::engine::socket) struct $name {
            $(#[serde(default, skip_serializing_if = "Option::is_none")] $field: Option<$change>,)*
        }

        impl $crate::engine::socket::delta::Change for $name {
            type Of = $whole;

            fn between(old: &$whole, new: &$whole) -> Option<Self> {
                let $whole { $($field,)* } = new;
                let change = Self { $($field: Change::between(&old.$field, $field),)* };
                (false $(|| change.$field.is_some())*).then_some(change)
            }

            fn apply(self, to: &mut $whole) -> Result<(), Mismatch> {
                $(if let Some(change) = self.$field {
                    change.apply(&mut to.$field)?;
                })*
                Ok(())
            }
        }
    };
}
use fields;
