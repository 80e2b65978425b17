//! Names that nobody else gives: of launch batches and of drain orders.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uuid::Builder;

use crate::model::ids::IntentId;

/// Makes names that have not been used before; from a seed always the same ones.
#[derive(Debug)]
pub struct Naming(ChaCha8Rng);

impl Naming {
    /// Names that nobody can foresee.
    #[must_use]
    pub fn random() -> Self {
        Self(ChaCha8Rng::from_rng(&mut rand::rng()))
    }

    /// The names of a simulated run.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A batch: the idempotency token of a launch call.
    pub fn batch(&mut self) -> IntentId {
        IntentId::new(self.uuid())
    }

    /// What a machine repeats when it answers a drain.
    pub fn nonce(&mut self) -> String {
        self.uuid()
    }

    fn uuid(&mut self) -> String {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        Builder::from_random_bytes(bytes).into_uuid().to_string()
    }
}
