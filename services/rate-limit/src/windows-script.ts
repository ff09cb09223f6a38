import { slotLifeMs } from "@sluice/contracts";
import { leasing, slotWaitMs, subWindows } from "./windows.ts";

/** Redis' own clock, so that replicas whose clocks differ still count in the same parts. */
export const redisClock = "local time = redis.call('TIME')\nlocal now = time[1] * 1000 + math.floor(time[2] / 1000)";

/** Reads each window and drops the parts that count no more. */
const load = `
local parts = ${subWindows}
local windowCount = tonumber(ARGV[1])
local windows = {}

local function forget(key, window)
  local last = math.min(window.oldest + parts, window.part - parts - 1)
  if window.oldest > last then return end
  local gone = {}
  for part = window.oldest, last do gone[#gone + 1] = part end
  for _, count in ipairs(redis.call('HMGET', key, unpack(gone))) do window.total = window.total - (count or 0) end
  redis.call('HDEL', key, unpack(gone))
  window.oldest = window.part - parts
  window.changed = true
end

for index = 1, windowCount do
  local key = KEYS[index]
  local limit, span, sustained = tonumber(ARGV[index * 3 - 1]), tonumber(ARGV[index * 3]), tonumber(ARGV[index * 3 + 1])
  local width = span / parts
  local part = math.floor(now / width)
  local head = redis.call('HMGET', key, 't', 'o', 'n', part, 'd')
  local newest = tonumber(head[3] or -1)
  if newest > part + parts then
    redis.call('DEL', key)
    head, newest = {}, -1
  elseif newest > part then
    part = newest
    head[4] = redis.call('HGET', key, part)
  end
  local window = { limit = limit, span = span, width = width, part = part, newest = newest, taken = 0, changed = false }
  window.total, window.oldest, window.count = tonumber(head[1] or 0), tonumber(head[2] or part), tonumber(head[4] or 0)
  window.sustained = sustained
  window.debt = sustained > 0 and math.max(0, tonumber(head[5] or 0) - sustained * (part - newest)) or 0
  forget(key, window)
  windows[index] = window
end`;

/** Reads how many calls are in flight, without those whose holder is silent for too long. */
const loadSlots = `
local slots = {}
for index = windowCount + 1, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[index], '-inf', now)
  slots[index] = { max = tonumber(ARGV[windowCount * 2 + 1 + index]), used = redis.call('ZCARD', KEYS[index]), taken = {} }
end`;

/** Gives the milliseconds until one more call would pass a window. */
const wait = `
local function room(window)
  local free = window.limit - window.total - window.taken
  if window.sustained == 0 then return free end
  return math.min(free, math.floor((window.limit * parts - window.debt) / parts) - window.taken)
end

local function untilFree(index)
  local window = windows[index]
  if window.total + window.taken < window.limit then return 0 end
  local ms = (window.part + 1) * window.width + window.span - now
  local listed = {}
  for part = window.oldest, window.part do listed[#listed + 1] = part end
  local left = window.total
  for at, count in ipairs(redis.call('HMGET', KEYS[index], unpack(listed))) do
    left = left - (count or 0)
    if left + window.taken < window.limit then return (listed[at] + 1) * window.width + window.span - now end
  end
  return ms
end

local function wait(index)
  local window = windows[index]
  if window.limit <= 0 then return window.span end
  if window.wait then return window.wait end
  window.wait = untilFree(index)
  if window.sustained > 0 then
    local over = window.debt + (window.taken + 1 - window.limit) * parts
    local paid = window.part + math.ceil(over / window.sustained)
    if over > 0 then window.wait = math.max(window.wait, paid * window.width - now) end
  end
  return window.wait
end`;

/** Takes calls ahead from these windows, once per window and batch; gives how many, and for how long. Never where a slot was taken. */
const lease = `
local function leasable(indexes)
  local calls, ms = ${leasing.maxCalls}, ${leasing.maxMs}
  for _, index in ipairs(indexes) do
    local window = windows[index]
    if not window then return 0, 0 end
    local used = window.count + window.taken
    local unfit = window.leased or window.limit < ${leasing.minLimit} or window.width < ${leasing.minPartMs}
    if unfit or used < ${leasing.minUsed} then return 0, 0 end
    local spare = math.floor(window.limit / 2) - window.total - window.taken
    calls = math.min(calls, used, spare, room(window), math.floor(window.limit * ${leasing.maxShare}))
    ms = math.min(ms, (window.part + 1) * window.width - now)
  end
  return calls, math.floor(ms)
end

local function lease(indexes)
  local calls, ms = leasable(indexes)
  if #indexes == 0 or calls <= 0 or ms <= 0 then return 0, 0 end
  for _, index in ipairs(indexes) do
    windows[index].taken = windows[index].taken + calls
    windows[index].leased = true
  end
  return calls, ms
end`;

/** Decides the calls in order, keeping in mind what each took. A window by a negative index counts only where the one before it is new. */
const decide = `
local answers = {}
local at = windowCount * 2 + #KEYS + 2

local function waitOf(index)
  local slot = slots[index]
  if slot then return slot.used >= slot.max and ${slotWaitMs} or -1 end
  if room(windows[index]) > 0 then return -1 end
  return wait(index)
end

local function isNew(index)
  local window = windows[index]
  return window.total + window.taken == 0 and window.debt == 0
end

local function count(index, id)
  local slot = slots[index]
  if slot then
    slot.used = slot.used + 1
    slot.taken[#slot.taken + 1] = id
  else
    windows[index].taken = windows[index].taken + 1
  end
end

while ARGV[at] do
  local id, takes = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 1
  local refused, longest, leased, passed, extra = 0, 0, 0, {}, nil
  for take = 1, takes do
    local index, ms = tonumber(ARGV[at + take]), -1
    if index > 0 then
      passed[#passed + 1] = index
      ms = waitOf(index)
    elseif isNew(tonumber(ARGV[at + take - 1])) then
      extra = extra or {}
      extra[#extra + 1] = -index
      ms = waitOf(-index)
    end
    if ms >= 0 and (refused == 0 or ms > longest) then refused, longest = take, ms end
  end
  if refused == 0 then
    for _, index in ipairs(passed) do count(index, id) end
    for _, index in ipairs(extra or {}) do count(index, id) end
    leased, longest = lease(passed)
  end
  answers[#answers + 1] = refused
  answers[#answers + 1] = longest
  answers[#answers + 1] = leased
  at = at + takes + 1
end`;

/** Writes what changed; a window lives until its newest part and its debt are over. */
const store = `
local longestLife = 1e12
local function storeWindow(key, window)
  local total, part = window.total + window.taken, window.part
  if window.taken == 0 then
    if window.changed then redis.call('HSET', key, 't', total, 'o', window.oldest) end
    return
  end
  redis.call('HSET', key, 't', total, 'o', window.oldest, 'n', part, part, window.count + window.taken)
  local life = (part + 1) * window.width + window.span - now
  if window.sustained > 0 then
    local debt = window.debt + window.taken * parts
    redis.call('HSET', key, 'd', debt, 's', window.sustained)
    life = math.min(longestLife, math.max(life, math.ceil(debt / window.sustained + 1) * window.width))
  end
  if window.newest ~= part or window.sustained > 0 then redis.call('PEXPIRE', key, life) end
end

for index, key in ipairs(KEYS) do
  local window, slot = windows[index], slots[index]
  if window then storeWindow(key, window) end
  if slot and #slot.taken > 0 then
    for _, id in ipairs(slot.taken) do redis.call('ZADD', key, now + ${slotLifeMs}, id) end
    redis.call('PEXPIRE', key, ${slotLifeMs})
  end
  answers[#answers + 1] = window and window.part or 0
  answers[#answers + 1] = math.max(0, slot and slot.max - slot.used or room(window))
end
return answers`;

/**
 * The script that decides one batch. Keys: the windows, then the slots. Takes the number of windows, per window its limit, its
 * length in ms and its sustained limit (0: none), per slot key its maximum; then per call the name that its slots get, the
 * number of its takes and the index of each one's key. Answers per call the take that refused (0: none), the wait in ms or a
 * lease's time, and the calls leased; then per key the part that was counted in and what is left.
 * A window is a hash: `t` calls in all, `o` the oldest part and `n` the newest, and a count under the number of each part.
 * Where it has a sustained limit `s`, `d` is the debt at `n`: `subWindows` for each call, paid off by `s` in each part. A slot
 * key is a sorted set of calls by when they expire.
 * @param clock lines that set `now`, in milliseconds
 */
export function windowsScript(clock: string): string {
  return [clock, load, loadSlots, wait, lease, decide, store].join("\n");
}

/**
 * Takes back calls: per key a part and a count. What counts no more is not touched, and of a debt only what is surely left of
 * those calls' is forgiven. A window that counts nothing any more is gone; only then one call is taken back from the next
 * key, where its count is 0.
 */
export const giveScript = `
local gone = false

local function give(key, part, calls)
  local head = redis.call('HMGET', key, part, 'n', 'd', 's')
  local back, debt = math.min(calls, tonumber(head[1] or 0)), tonumber(head[3] or 0)
  if back <= 0 then return false end
  redis.call('HINCRBY', key, part, -back)
  if debt > 0 then
    debt = math.max(0, debt - math.max(0, back * ${subWindows} - head[4] * (head[2] - part)))
    redis.call('HSET', key, 'd', debt)
  end
  if redis.call('HINCRBY', key, 't', -back) > 0 or debt > 0 then return false end
  redis.call('DEL', key)
  return true
end

for index, key in ipairs(KEYS) do
  local part, calls = ARGV[index * 2 - 1], tonumber(ARGV[index * 2])
  if calls > 0 then gone = give(key, part, calls) elseif gone then give(key, part, 1) end
end`;

/** Says of slots that their calls are in flight: per key one call. @param clock as above */
export function holdScript(clock: string): string {
  return `${clock}
for index, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  redis.call('ZADD', key, now + ${slotLifeMs}, ARGV[index])
  redis.call('PEXPIRE', key, ${slotLifeMs})
end`;
}
