//! The Virtual Host: the tree's root, components, providers, links, inventory.
