//! UM08xx: the host, its state folder and its listeners.

use super::codes;

codes! {

}
