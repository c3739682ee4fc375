//! Every case of `pg-value` that has a type in PostgreSQL, there and back.

use super::Database;
use umbel_wit::Value;

/// A type, a value of it, and the case that it has.
const VALUES: &[(&str, &str, u32)] = &[
    ("bool", "true", 6),
    ("bool[]", "{t,f}", 8),
    ("int2", "-32768", 25),
    ("int4", "-2147483648", 17),
    ("int8", "9223372036854775807", 2),
    ("int2[]", "{1,-2}", 26),
    ("int4[]", "{}", 18),
    ("int8[]", "{1,2,3}", 3),
    ("float4", "1.5e-40", 13),
    ("float8", "-2.2250738585072011e-308", 10),
    ("float8", "NaN", 10),
    ("float8", "-Infinity", 10),
    ("float4[]", "{0.1,Infinity,NaN}", 14),
    ("float8[]", "{0.1,1e300}", 11),
    ("numeric", "0", 19),
    ("numeric", "-12345678901234567890.000100", 19),
    ("numeric", "0.00001234", 19),
    ("numeric", "1e40", 19),
    ("numeric", "NaN", 19),
    ("numeric[]", "{1.10,-0.5}", 21),
    ("money", "-1234.56", 80),
    ("money[]", "{0.07,1.00}", 81),
    ("bit(11)", "10110011101", 31),
    ("bit(3)[]", "{101,010}", 32),
    ("varbit", "1", 34),
    ("varbit[]", "{1,10101010101}", 35),
    ("bytea", "\\x00ff5c27", 36),
    ("bytea[]", "{\"\\\\x00\",\"\\\\x\"}", 37),
    ("char(5)", "ab", 38),
    ("varchar", "a'b\\c\"ü🦀", 40),
    ("varchar[]", "{\"a,b\",\"\",NULL_,\"{}\"}", 41),
    ("text", "", 88),
    ("text", "line\nbreak", 88),
    ("text[]", "{\"a\\\\b\",\"NULL\"}", 89),
    ("name", "table", 86),
    ("xml", "<a>1</a>", 90),
    ("json", "{\"a\": [1, null]}", 76),
    ("json[]", "{\"{\\\"a\\\": 1}\"}", 77),
    ("jsonb", "{\"a\": \"ü\"}", 78),
    ("jsonb[]", "{1,\"\\\"x\\\"\"}", 79),
    ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", 94),
    ("uuid[]", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", 95),
    ("inet", "192.168.0.1", 44),
    ("inet", "192.168.0.1/24", 44),
    ("inet", "2001:db8::1", 44),
    ("inet[]", "{10.0.0.1,::1}", 45),
    ("cidr", "10.0.0.0/8", 42),
    ("cidr", "10.1.2.3/32", 42),
    ("cidr[]", "{10.0.0.0/8}", 43),
    ("macaddr", "08:00:2b:01:02:03", 46),
    ("macaddr[]", "{08:00:2b:01:02:03}", 47),
    ("macaddr8", "08:00:2b:01:02:03:04:05", 48),
    ("point", "(1.5,-2)", 60),
    ("point[]", "{\"(1,2)\",\"(3,4)\"}", 61),
    ("box", "(3,4),(1,2)", 50),
    ("box[]", "{(3,4),(1,2);(1,1),(0,0)}", 51),
    ("lseg", "[(1,2),(3,4)]", 56),
    ("line", "{2,-1,-3}", 54),
    ("line", "{-1,0,3}", 54),
    ("path", "[(0,0),(1,1),(2,0)]", 58),
    ("polygon", "((0,0),(1,1),(2,0))", 62),
    ("polygon[]", "{\"((0,0),(1,1))\"}", 63),
    ("circle", "<(1,2),3.5>", 52),
    ("date", "2024-02-29", 64),
    ("date", "0044-03-15 BC", 64),
    ("date", "infinity", 64),
    ("date", "-infinity", 64),
    ("date[]", "{1999-12-31,2000-01-01}", 65),
    ("daterange", "[2024-01-01,2024-02-01)", 66),
    ("time", "23:59:59.999999", 68),
    ("time[]", "{00:00:00,12:34:56}", 69),
    ("timetz", "12:34:56.5+05:30", 70),
    ("timestamp", "1999-12-31 23:59:59.000001", 72),
    ("timestamp", "4713-01-01 00:00:00 BC", 72),
    ("timestamp", "infinity", 72),
    ("timestamp[]", "{\"2024-01-01 00:00:00\"}", 73),
    ("timestamptz", "2024-06-01 12:00:00+02", 74),
    ("timestamptz[]", "{\"2024-06-01 12:00:00+00\"}", 75),
    ("interval", "1 year 2 mons -3 days +04:05:06.789", 88),
    ("interval", "-00:00:01.5", 88),
    ("pg_lsn", "16/B374D848", 82),
    ("pg_lsn[]", "{0/0}", 83),
    ("pg_snapshot", "10:20:10,14,15", 84),
    ("tsvector", "'a':1A 'cat':2B,5 'it''s'", 93),
    ("int2vector", "1 2 3", 27),
    ("mood", "so so", 88),
    ("mood[]", "{happy,\"so so\"}", 89),
    ("positive", "7", 17),
    ("hstore", "\"a\"=>\"1\", \"b\\\"\"=>NULL", 96),
];

#[tokio::test]
async fn every_type_comes_and_goes_back() {
    let database = Database::start().await;
    let bed = database.bed(&[]).await;
    let guest = bed.guest("app");
    let setup = "CREATE TYPE mood AS ENUM ('happy', 'so so'); CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE EXTENSION hstore";
    guest.batch(setup).await.expect("types");
    for (ty, value, case) in VALUES {
        let literal = format!("'{}'::{ty}", value.replace('\'', "''"));
        let mut rows = guest
            .query(&format!("SELECT {literal} AS value"), vec![])
            .await
            .unwrap_or_else(|e| panic!("{literal}: {e:?}"));
        let (name, found) = rows.pop().and_then(|mut row| row.pop()).expect("a value");
        assert_eq!(name, "value");
        assert!(matches!(&found, Value::Variant(place, Some(_)) if place == case), "{literal}: {found:?}");
        let shown = format!("{found:?}");
        // As the server compares it, or as it writes it where it has nothing to compare by.
        let same = format!("SELECT (a::text = b::text) FROM (SELECT {literal} AS a, $1::{ty} AS b) AS x");
        let same =
            guest.one(&same, vec![found]).await.unwrap_or_else(|e| panic!("{literal}, {shown}: {e:?}"));
        assert_eq!(same, "Variant(6, Some(Bool(true)))", "{literal} came back as {shown}");
    }
    for (ty, value) in [
        ("int4[]", "{1,NULL}"),
        ("int4[]", "{{1},{2}}"),
        ("int4range", "[1,2)"),
        ("tsquery", "a & b"),
        ("daterange", "empty"),
    ] {
        let found = guest.query(&format!("SELECT '{value}'::{ty}"), vec![]).await;
        super::fails("2", "UM1195", found);
    }
    bed.stop().await;
    database.end().await;
}
