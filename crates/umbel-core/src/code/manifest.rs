//! UM02xx: application manifests.

use super::codes;

codes! {

}
