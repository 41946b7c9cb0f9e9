//! Instances, groups and targets through time.
