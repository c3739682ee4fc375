//! UM07xx: supervised tasks and processes.

use super::codes;

codes! {

}
