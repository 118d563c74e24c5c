-- The accounts that processes share, in Redis or Valkey. One call is one step: nobody sees or changes anything between.
--
-- KEYS  For each account two: a hash (began, spent, reserved) and, by the time they end, the leases on it.
--       A lease is a reservation, "<id> <amount>".
-- ARGV  verb, Unix time (empty: the store's own), lease id, seconds a lease lasts; then four for each account:
--         reserve: period, amount, limit, whether the limit blocks (1 or 0)
--         settle:  period, amount, cost, start of the period that was reserved in
--         charge:  as settle, for what was never reserved here
-- Returns  {granted (1 or 0), Unix time, {began, spent, reserved} for each account}, all as texts but the first.
--
-- Every verb may be repeated with the same id and counts once. Amounts are nano-dollars and are only ever added as the
-- texts they came as, which is exact; comparisons are in doubles, exact up to 2^53.
--
-- What reserves begins with a write that needs memory: a store that is full then refuses the whole. One that settles
-- begins with one that frees some, and goes through.

local KEEP = 3600 -- seconds an account outlives its period: another machine's clock plays no part, a slow reply does
local verb, now, id, lasts = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end

local function add(hash, field, amount) redis.call('HINCRBY', hash, field, amount) end
local function negative(amount) return amount == '0' and amount or '-' .. amount end

local function first_of_month(day) -- in days since 1970; after Howard Hinnant's civil_from_days
  local z = day + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  return day - (doy - math.floor((153 * math.floor((5 * doy + 2) / 153) + 2) / 5))
end

local LENGTHS = {minute = 60, hour = 3600, day = 86400}
local function period_of(per) -- start and end, in Unix time; a total has no end
  if per == 'total' then return 0, nil end
  if LENGTHS[per] then
    local began = math.floor(now / LENGTHS[per]) * LENGTHS[per]
    return began, began + LENGTHS[per]
  end
  local first = first_of_month(math.floor(now / 86400))
  return first * 86400, first_of_month(first + 32) * 86400
end

local function open(hash, leases, per) -- begins the period, if it is not begun
  local began, ends = period_of(per)
  local held = tonumber(redis.call('HGET', hash, 'began'))
  if held and held >= began then return ends end -- a clock that goes back opens no period again
  if held then redis.call('DEL', hash, leases) end
  redis.call('HSET', hash, 'began', string.format('%d', began), 'spent', '0', 'reserved', '0')
  if ends then redis.call('EXPIRE', hash, math.ceil(ends - now) + KEEP) end
  return ends
end

local function sweep(hash, leases) -- what nobody settled in time may have been billed: it counts as spent
  local late = redis.call('ZRANGEBYSCORE', leases, '-inf', now)
  for _, each in ipairs(late) do
    local amount = string.match(each, '%d+$')
    add(hash, 'reserved', negative(amount))
    add(hash, 'spent', amount)
  end
  if #late > 0 then redis.call('ZREMRANGEBYSCORE', leases, '-inf', now) end
end

local function lease(leases, amount, ends) -- returns whether it is new
  local new = redis.call('ZADD', leases, 'NX', now + lasts, id .. ' ' .. amount)
  if ends then redis.call('EXPIRE', leases, math.ceil(ends - now) + KEEP) end
  return new == 1
end

local accounts, granted = {}, 1
for n = 1, #KEYS / 2 do
  local at = 4 * n
  local hash, leases, per, amount = KEYS[2 * n - 1], KEYS[2 * n], ARGV[at + 1], ARGV[at + 2]
  local ends = open(hash, leases, per)
  if verb == 'reserve' then
    local used = redis.call('HMGET', hash, 'spent', 'reserved')
    local over = tonumber(used[1]) + tonumber(used[2]) + tonumber(amount) > tonumber(ARGV[at + 3])
    if over and ARGV[at + 4] == '1' then granted = 0 end
  else
    local cost, began = ARGV[at + 3], ARGV[at + 4]
    if verb == 'settle' and redis.call('ZREM', leases, id .. ' ' .. amount) == 1 then
      add(hash, 'reserved', negative(amount))
      add(hash, 'spent', cost)
    elseif verb == 'charge' and redis.call('HGET', hash, 'began') == began and lease(leases, '0', ends) then
      add(hash, 'spent', cost)
    end
  end
  accounts[n] = {hash = hash, leases = leases, amount = amount, ends = ends}
end

local told = {granted, string.format('%.6f', now)}
for _, account in ipairs(accounts) do
  if verb == 'reserve' and granted == 1 and lease(account.leases, account.amount, account.ends) then
    add(account.hash, 'reserved', account.amount)
  end
  sweep(account.hash, account.leases)
  told[#told + 1] = redis.call('HMGET', account.hash, 'began', 'spent', 'reserved')
end
return told
