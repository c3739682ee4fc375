//! `pg-value`s and what they are in PostgreSQL.
//!
//! A parameter goes to the server as the text of its value (`param`), and the server reads it as the type that the statement wants
//! there: an `int4` fits a `bigint` column, and a `text` every column that can be written as text. A column comes back in the
//! server's binary form and becomes the case of its type (`cell`).
//!
//! | PostgreSQL | case | |
//! |---|---|---|
//! | `smallint`, `integer`, `bigint`, `oid` | `int2`, `int4`, `int8`, `int8` | |
//! | `real`, `double precision` | `float4`, `float8` | mantissa, exponent and sign: see `float` |
//! | `character(n)`, `character varying` | `char`, `varchar` | bytes of the text, with their number, or without a limit |
//! | `bit`, `bit varying` | `bit`, `varbit` | number of bits, and bytes that begin with the first one |
//! | `interval` | `text` | the contract's `interval` is one of dates: that is what `daterange` becomes |
//! | enumerations, `citext` | `text` | |
//! | a domain | what it is over | |
//! | an array of one dimension without NULLs | the case of the arrays of its elements | |

mod calendar;
mod cell;
mod float;
mod param;

pub(super) use cell::Cell;
pub(super) use param::Param;

/// A value that does not fit its case, or a type that has none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Mismatch(pub(super) String);

macro_rules! cases {
    ($($case:ident)*) => {
        /// The cases of `pg-value`, in the order of the WIT.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        pub(super) enum Case { $($case),* }

        impl Case {
            const ALL: &[Case] = &[$(Case::$case),*];
        }
    };
}

cases! {
    Null
    BigInt Int8 Int8Array BigSerial Serial8
    Bool Boolean BoolArray
    Double Float8 Float8Array Real Float4 Float4Array
    Integer Int Int4 Int4Array
    Numeric Decimal NumericArray
    Serial Serial4
    SmallInt Int2 Int2Array Int2Vector Int2VectorArray SmallSerial Serial2
    Bit BitArray BitVarying Varbit VarbitArray
    Bytea ByteaArray
    Char CharArray Varchar VarcharArray
    Cidr CidrArray Inet InetArray Macaddr MacaddrArray Macaddr8 Macaddr8Array
    Box BoxArray Circle CircleArray Line LineArray Lseg LsegArray Path PathArray Point PointArray Polygon PolygonArray
    Date DateArray Interval IntervalArray Time TimeArray TimeTz TimeTzArray
    Timestamp TimestampArray TimestampTz TimestampTzArray
    Json JsonArray Jsonb JsonbArray
    Money MoneyArray
    PgLsn PgLsnArray PgSnapshot TxidSnapshot
    Name NameArray Text TextArray Xml XmlArray
    TsQuery TsVector
    Uuid UuidArray
    Hstore
}

impl Case {
    fn of(place: u32) -> Result<Case, Mismatch> {
        let case = usize::try_from(place).ok().and_then(|place| Case::ALL.get(place));
        case.copied().ok_or_else(|| Mismatch(format!("`pg-value` has no case {place}")))
    }

    /// The case of arrays of this one.
    fn array(self) -> Option<Case> {
        // Each stands behind the last case of its elements.
        let behind = Case::ALL.get(self as usize + 1).copied()?;
        match self {
            Case::Int8
            | Case::Boolean
            | Case::Float8
            | Case::Float4
            | Case::Int4
            | Case::Int2
            | Case::Varbit => Some(behind),
            Case::Bool => Some(Case::BoolArray),
            Case::Numeric => Some(Case::NumericArray),
            Case::Bit | Case::Bytea | Case::Char | Case::Varchar => Some(behind),
            Case::Cidr | Case::Inet | Case::Macaddr | Case::Macaddr8 => Some(behind),
            Case::Box | Case::Circle | Case::Line | Case::Lseg | Case::Path | Case::Point | Case::Polygon => {
                Some(behind)
            }
            Case::Date | Case::Interval | Case::Time | Case::TimeTz | Case::Timestamp | Case::TimestampTz => {
                Some(behind)
            }
            Case::Json | Case::Jsonb | Case::Money | Case::PgLsn => Some(behind),
            Case::Name | Case::Text | Case::Xml | Case::Uuid | Case::Int2Vector => Some(behind),
            _ => None,
        }
    }

    /// The case of the elements, if this one is of arrays.
    fn element(self) -> Option<Case> {
        Case::ALL.iter().copied().find(|case| case.array() == Some(self))
    }
}

#[cfg(test)]
mod tests;
