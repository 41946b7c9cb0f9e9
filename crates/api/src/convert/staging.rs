//! How far the staging of a release is.

use model::StageProgress;

use crate::{Invalid, v1, view::Staging};

impl From<Staging> for v1::Staging {
    fn from(staging: Staging) -> Self {
        let StageProgress { paths_done, paths, bytes_done, bytes } = staging.progress;
        Self { release: staging.release.into(), paths_done, paths, bytes_done, bytes }
    }
}

impl TryFrom<v1::Staging> for Staging {
    type Error = Invalid;
    fn try_from(wire: v1::Staging) -> Result<Self, Invalid> {
        let v1::Staging { release, paths_done, paths, bytes_done, bytes } = wire;
        Ok(Self {
            release: super::named("staging.release", &release)?,
            progress: StageProgress { paths_done, paths, bytes_done, bytes },
        })
    }
}
