//! What runs in the server: each write is one script, and so happens as a whole or not at all, in an order that all hosts see.

use redis::Script;
use std::sync::LazyLock;

// A script's error is a word, by which it is known, and more text: without that, Redis puts a word of its own in front.

/// What a script answers instead of writing, when there is no room.
pub(super) const FULL: &str = "UMBELFULL";
/// What the script of `get-many` answers when the values are too large together.
pub(super) const LARGE: &str = "UMBELLARGE";
/// What the script of `increment` answers when Redis cannot count there: the value is beyond 64 bits, or is no number to it.
pub(super) const UNCOUNTABLE: &str = "UMBELCOUNT";

/// Where scripts find the names: keys of a bucket in this order, then the channel, the owner and bucket that watchers are told,
/// and the limit of the owner's bytes. What follows is the script's own.
const PRELUDE: &str = r"
local values, versions, order, last, used = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local channel, owner, bucket, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local watched = redis.call('PUBSUB', 'NUMSUB', channel)[2] > 0
local function tell(key, value)
  if watched then
    local head = string.format('%d %d %d %d\n', #owner, #bucket, #key, value and #value or -1)
    redis.call('PUBLISH', channel, head .. owner .. bucket .. key .. (value or ''))
  end
end
local function cost(key, value)
  if redis.call('HEXISTS', values, key) == 1 then
    return #value - redis.call('HSTRLEN', values, key)
  end
  return #key + #value
end
local function room(more)
  return more <= 0 or tonumber(redis.call('GET', used) or '0') + more <= limit
end
local function book(more)
  if more ~= 0 then redis.call('INCRBY', used, string.format('%.0f', more)) end
end
local function mark(key, value)
  local version = string.format('%.0f', redis.call('INCR', last))
  redis.call('HSET', versions, key, version)
  redis.call('ZADD', order, 'NX', version, key)
  tell(key, value)
end
local function full() return redis.error_reply('UMBELFULL no room') end
";

const SET: &str = r"
local more = 0
for i = 5, #ARGV, 2 do more = more + cost(ARGV[i], ARGV[i + 1]) end
if not room(more) then return full() end
for i = 5, #ARGV, 2 do
  redis.call('HSET', values, ARGV[i], ARGV[i + 1])
  mark(ARGV[i], ARGV[i + 1])
end
book(more)
return 0
";

const DELETE: &str = r"
local less = 0
for i = 5, #ARGV do
  local key = ARGV[i]
  if redis.call('HEXISTS', values, key) == 1 then
    less = less + #key + redis.call('HSTRLEN', values, key)
    redis.call('HDEL', values, key)
    redis.call('HDEL', versions, key)
    redis.call('ZREM', order, key)
    tell(key, nil)
  end
end
book(-less)
return 0
";

// Numbers of scripts are floating point: sums stay text.
const INCREMENT: &str = r"
local key, delta, floor = ARGV[5], ARGV[6], ARGV[7]
local before = redis.call('HEXISTS', values, key) == 1 and redis.call('HSTRLEN', values, key) or -#key
if not room(#key + 20 - before) then
  if before < 0 or not room(20 - before) then return full() end
end
local sum = redis.pcall('HINCRBY', values, key, delta)
if type(sum) == 'table' and sum.err then return redis.error_reply('UMBELCOUNT not here') end
sum = redis.call('HGET', values, key)
if floor == '0' and string.sub(sum, 1, 1) == '-' then
  redis.call('HINCRBY', values, key, string.sub(delta, 1, 1) == '-' and string.sub(delta, 2) or '-' .. delta)
  if before < 0 then redis.call('HDEL', values, key) end
  return redis.error_reply('UMBELCOUNT not here')
end
mark(key, sum)
book(#sum - before)
return sum
";

const SWAP: &str = r"
local key, value, version = ARGV[5], ARGV[6], ARGV[7]
local found = redis.call('HGET', versions, key) or '0'
if found ~= version then return found end
local more = cost(key, value)
if not room(more) then return full() end
redis.call('HSET', values, key, value)
mark(key, value)
book(more)
return ''
";

const GET_MANY: &str = r"
local bytes, limit, found = 0, tonumber(ARGV[1]), {}
for i = 2, #ARGV do
  bytes = bytes + redis.call('HSTRLEN', KEYS[1], ARGV[i])
  if bytes > limit then return redis.error_reply('UMBELLARGE too much') end
end
for i = 2, #ARGV do found[i - 1] = redis.call('HGET', KEYS[1], ARGV[i]) end
return found
";

fn write(script: &str) -> Script {
    Script::new(&format!("{PRELUDE}{script}"))
}

pub(super) static SETS: LazyLock<Script> = LazyLock::new(|| write(SET));
pub(super) static DELETES: LazyLock<Script> = LazyLock::new(|| write(DELETE));
pub(super) static INCREMENTS: LazyLock<Script> = LazyLock::new(|| write(INCREMENT));
pub(super) static SWAPS: LazyLock<Script> = LazyLock::new(|| write(SWAP));
pub(super) static GETS: LazyLock<Script> = LazyLock::new(|| Script::new(GET_MANY));
