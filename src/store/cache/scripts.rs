//! The Lua scripts that Redis runs in one step. Time is Redis's own, so that clocks of processes do
//! not matter. Every key of a script shares one hash tag: in a cluster they live on one node.

/// `KEYS[1]` allowance; `ARGV` price, burst in µs. Gives `{owed, wait}` in µs; the same arithmetic as
/// `gcra::judge`. Numbers are written with `%.0f`: Lua would shorten them to 14 digits.
pub(super) const CHARGE: &str = r"
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local price, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local whole_at = tonumber(redis.call('GET', KEYS[1]) or '0')
local owed = math.max(whole_at - now, 0)
local after = owed + price
if after <= burst or owed == 0 then
  redis.call('SET', KEYS[1], string.format('%.0f', now + after), 'PX', string.format('%.0f', math.ceil(after / 1000) + 1))
  return {string.format('%.0f', after), '0'}
end
local wait = after - burst
if price > burst then wait = owed end
return {string.format('%.0f', owed), string.format('%.0f', wait)}
";

/// `KEYS[1]` set of processes; `ARGV` name, time to live in ms. Gives how many take part.
pub(super) const CENSUS: &str = r"
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
";

/// `KEYS` lease, its epoch counter; `ARGV` holder, time to live in ms, floor. Gives the epoch, or 0 when
/// somebody holds it. The counter has no end: it is what makes epochs grow.
pub(super) const ACQUIRE: &str = r"
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local epoch = math.max(tonumber(redis.call('GET', KEYS[2]) or '0'), tonumber(ARGV[3])) + 1
redis.call('SET', KEYS[2], string.format('%.0f', epoch))
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'epoch', string.format('%.0f', epoch))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return epoch
";

/// `KEYS[1]` lease; `ARGV` holder, epoch, time to live in ms. Gives 1 when held on.
pub(super) const RENEW: &str = r"
local held = redis.call('HMGET', KEYS[1], 'holder', 'epoch')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
";

/// `KEYS[1]` lease; `ARGV` holder, epoch.
pub(super) const RELEASE: &str = r"
local held = redis.call('HMGET', KEYS[1], 'holder', 'epoch')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return 0 end
return redis.call('DEL', KEYS[1])
";

/// `KEYS[1]` answer; `ARGV` position as 20 digits, answer, time to live in ms. An older one never
/// replaces a newer.
pub(super) const KEEP: &str = r"
local old = redis.call('GETRANGE', KEYS[1], 0, 19)
if old > ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3])
return 1
";
