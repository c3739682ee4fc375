//! UM06xx: messages and durable state.

use super::codes;

codes! {

}
