/// Declares the codes of one area: the constants, and `ALL` for the catalogue.
macro_rules! codes {
    ($($number:literal $name:ident $kind:ident {
        title: $title:literal,
        why: $why:literal,
        help: $help:literal $(,)?
    })*) => {
        $(
            #[doc = concat!("UM", stringify!($number), ": ", $title, ".")]
            pub const $name: $crate::code::Code = $crate::code::Code(&$crate::code::Entry {
                number: $number,
                name: stringify!($name),
                kind: $crate::error::Kind::$kind,
                title: $title,
                why: $why,
                help: $help,
            });
        )*
        /// The codes of this area, in the order of their numbers.
        pub(super) const ALL: &[$crate::code::Code] = &[$($name),*];
    };
}
pub(crate) use codes;
