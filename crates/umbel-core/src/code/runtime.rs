//! UM04xx: loading, compiling and instantiating wasm.

use super::codes;

codes! {

}
