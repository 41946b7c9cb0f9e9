//! Credentials that were found to have expired are asked for again.
//!
//! The clients keep credentials for as long as they say that they are good for. When AWS says otherwise (the role was given anew, or a clock is wrong), they
//! would go on with them for hours.

use std::sync::{Arc, PoisonError, RwLock};

use aws_config::identity::IdentityCache;
use aws_smithy_runtime_api::client::{
    identity::{IdentityFuture, ResolveCachedIdentity, SharedIdentityCache, SharedIdentityResolver},
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::config_bag::ConfigBag;

/// What is kept of credentials, until it is forgotten. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Kept(Arc<RwLock<SharedIdentityCache>>);

impl Kept {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(RwLock::new(fresh())))
    }

    /// The next call asks for credentials again.
    pub(super) fn forget(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh();
    }
}

fn fresh() -> SharedIdentityCache {
    SharedIdentityCache::new(IdentityCache::lazy().build())
}

impl ResolveCachedIdentity for Kept {
    fn resolve_cached_identity<'a>(
        &'a self,
        resolver: SharedIdentityResolver,
        components: &'a RuntimeComponents,
        config: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        let now = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        IdentityFuture::new(async move { now.resolve_cached_identity(resolver, components, config).await })
    }
}
