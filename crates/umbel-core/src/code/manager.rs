//! UM09xx: applications: plan and execute.

use super::codes;

codes! {

}
