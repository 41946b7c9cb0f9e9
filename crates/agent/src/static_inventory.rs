//! The inventory that stands in the configuration.

use ports::{Fault, Inventory, Listed};

/// A list of hosts that never changes while the agent runs.
#[derive(Debug, Clone)]
pub struct StaticInventory {
    hosts: Vec<Listed>,
}

impl StaticInventory {
    /// Of these hosts.
    #[must_use]
    pub fn new(hosts: Vec<Listed>) -> Self {
        Self { hosts }
    }
}

impl Inventory for StaticInventory {
    async fn list(&self) -> Result<Vec<Listed>, Fault> {
        Ok(self.hosts.clone())
    }
}
