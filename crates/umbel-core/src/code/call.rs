//! UM05xx: calls, links and budgets.

use super::codes;

codes! {

}
