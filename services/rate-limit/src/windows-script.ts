import { leasing, subWindows } from "./windows.ts";

/** Redis' own clock, so that replicas whose clocks differ still count in the same parts. */
export const redisClock = "local time = redis.call('TIME')\nlocal now = time[1] * 1000 + math.floor(time[2] / 1000)";

/** Reads each window and drops the parts that count no more. */
const load = `
local parts = ${subWindows}
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

for index, key in ipairs(KEYS) do
  local limit, span = tonumber(ARGV[index * 2 - 1]), tonumber(ARGV[index * 2])
  local width = span / parts
  local part = math.floor(now / width)
  local head = redis.call('HMGET', key, 't', 'o', 'n', part)
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
  forget(key, window)
  windows[index] = window
end`;

/** Gives the milliseconds until one more call would pass a window. */
const wait = `
local function wait(index)
  local window = windows[index]
  if window.limit <= 0 then return window.span end
  if window.wait then return window.wait end
  window.wait = (window.part + 1) * window.width + window.span - now
  local listed = {}
  for part = window.oldest, window.part do listed[#listed + 1] = part end
  local left = window.total
  for at, count in ipairs(redis.call('HMGET', KEYS[index], unpack(listed))) do
    left = left - (count or 0)
    if left + window.taken < window.limit then
      window.wait = (listed[at] + 1) * window.width + window.span - now
      break
    end
  end
  return window.wait
end`;

/** Takes calls ahead for the takes that begin behind `at`, once per window and batch; gives how many, and for how long. */
const lease = `
local function lease(at, count)
  local calls, ms = ${leasing.maxCalls}, ${leasing.maxMs}
  for take = 1, count do
    local window = windows[tonumber(ARGV[at + take])]
    local used = window.count + window.taken
    local unfit = window.leased or window.limit < ${leasing.minLimit} or window.width < ${leasing.minPartMs}
    if unfit or used < ${leasing.minUsed} then return 0, 0 end
    local spare = math.floor(window.limit / 2) - window.total - window.taken
    calls = math.min(calls, used, spare, math.floor(window.limit * ${leasing.maxShare}))
    ms = math.min(ms, (window.part + 1) * window.width - now)
  end
  if count == 0 or calls <= 0 or ms <= 0 then return 0, 0 end
  for take = 1, count do
    local window = windows[tonumber(ARGV[at + take])]
    window.taken = window.taken + calls
    window.leased = true
  end
  return calls, math.floor(ms)
end`;

/** Decides the calls in order, keeping in mind what each took. */
const decide = `
local answers = {}
local at = #KEYS * 2 + 1
while ARGV[at] do
  local count = tonumber(ARGV[at])
  local refused, longest, leased = 0, 0, 0
  for take = 1, count do
    local index = tonumber(ARGV[at + take])
    local window = windows[index]
    if window.total + window.taken >= window.limit then
      local ms = wait(index)
      if refused == 0 or ms > longest then refused, longest = take, ms end
    end
  end
  if refused == 0 then
    for take = 1, count do
      local window = windows[tonumber(ARGV[at + take])]
      window.taken = window.taken + 1
    end
    leased, longest = lease(at, count)
  end
  answers[#answers + 1] = refused
  answers[#answers + 1] = longest
  answers[#answers + 1] = leased
  at = at + count + 1
end`;

/** Writes what changed; a window's life only depends on its newest part. */
const store = `
for index, key in ipairs(KEYS) do
  local window = windows[index]
  local total, part = window.total + window.taken, window.part
  if window.taken > 0 and window.newest == part then
    redis.call('HSET', key, 't', total, part, window.count + window.taken)
  elseif window.taken > 0 then
    redis.call('HSET', key, 't', total, 'o', window.oldest, 'n', part, part, window.count + window.taken)
    redis.call('PEXPIRE', key, (part + 1) * window.width + window.span - now)
  elseif window.changed then
    redis.call('HSET', key, 't', total, 'o', window.oldest)
  end
  answers[#answers + 1] = part
end
return answers`;

/**
 * The script that decides one batch. Takes per key its limit and window in ms, then per call the number of its takes and the
 * index of each one's key. Answers per call the take that refused (0: none), the wait in ms or a lease's time, and the calls
 * leased; then per key the part that was counted in.
 * A window is a hash: `t` calls in all, `o` the oldest part and `n` the newest, and a count under the number of each part.
 * @param clock lines that set `now`, in milliseconds
 */
export function windowsScript(clock: string): string {
  return [clock, load, wait, lease, decide, store].join("\n");
}

/** Takes back leased calls: per key a part and a count. What counts no more is not touched. */
export const giveScript = `
for index, key in ipairs(KEYS) do
  local part, calls = ARGV[index * 2 - 1], tonumber(ARGV[index * 2])
  local back = math.min(calls, tonumber(redis.call('HGET', key, part) or 0))
  if back > 0 then
    redis.call('HINCRBY', key, part, -back)
    redis.call('HINCRBY', key, 't', -back)
  end
end`;
