//! What nodes say of themselves beside their load: that they are about to leave (spec: D34), and
//! which store they work with (spec: X59).

use super::node::Node;
use super::{Cluster, ClusterEvent, NodeId};
use holdline_wire::header::{InstanceState, InstanceStore};
use std::collections::BTreeMap;
use std::net::SocketAddr;

impl Cluster {
    /// The node says whether it takes new calls. Nothing said is nothing new.
    pub fn told_state(&mut self, id: NodeId, state: InstanceState) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let draining = state == InstanceState::Draining;
        if std::mem::replace(&mut node.draining, draining) != draining && node.is_up() {
            self.events.push_back(match draining {
                true => ClusterEvent::Draining { node: id },
                false => ClusterEvent::Alive { node: id },
            });
        }
    }

    /// The node says which store it works with, and whether that answers.
    pub fn told_store(&mut self, id: NodeId, store: InstanceStore) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let known = node
            .store
            .as_ref()
            .is_some_and(|known| known.id == store.id);
        node.store = Some(store);
        if !known {
            self.compare_stores();
        }
    }

    /// Calls cannot move between nodes that do not share a store: that is told once.
    fn compare_stores(&mut self) {
        let stores = self.stores();
        let mut named = stores.into_iter().map(|(id, node)| (node, Box::from(id)));
        let (one, other) = (named.next(), named.next());
        drop(named);
        match (one, other) {
            (Some(one), Some(other)) if !self.stores_differ => {
                self.stores_differ = true;
                self.events
                    .push_back(ClusterEvent::StoresDiffer { one, other });
            }
            (_, None) => self.stores_differ = false,
            _ => {}
        }
    }

    /// The different stores of the nodes that are up, each with one of its nodes.
    pub(super) fn stores(&self) -> BTreeMap<&str, SocketAddr> {
        let up = self.nodes.values().filter(|node| node.is_up());
        let named = up.filter_map(|node| Some((&*node.store.as_ref()?.id, node.address)));
        named.collect()
    }

    /// Whether nodes have named different stores of late.
    pub fn stores_differ(&self) -> bool {
        self.stores_differ
    }

    /// The store that the node works with, as it said last.
    pub fn store(&self, id: NodeId) -> Option<&str> {
        let store = self.nodes.get(&id)?.store.as_ref()?;
        Some(&store.id)
    }
}

impl Node {
    /// Whether it may have the store of this name: one that names none may.
    pub fn has_store(&self, wanted: &str) -> bool {
        self.store.as_ref().is_none_or(|store| &*store.id == wanted)
    }

    /// Whether its store works, as far as it says.
    pub fn store_works(&self) -> bool {
        self.store.as_ref().is_none_or(|store| store.up)
    }
}
