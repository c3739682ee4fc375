//! UM03xx: files, digests and the artifact cache.

use super::codes;

codes! {

}
