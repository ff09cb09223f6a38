import { subWindows } from "./windows.ts";

/** Redis' own clock, so that replicas whose clocks differ still count in the same parts. */
export const redisClock = "local time = redis.call('TIME')\nlocal now = time[1] * 1000 + math.floor(time[2] / 1000)";

/**
 * The script that decides one batch. Takes per key its limit and window in ms, then per call the number of its takes and the index
 * of each one's key. Answers per call the take that refused (0: none) and the wait in ms.
 * A window is a hash: `t` calls in all, `o` the oldest part and `n` the newest, and a count under the number of each part.
 */
export function windowsScript(clock: string): string {
  return `
${clock}
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
  local head = redis.call('HMGET', key, 't', 'o', 'n')
  local newest = tonumber(head[3] or part)
  if newest > part + parts then
    redis.call('DEL', key)
    head, newest = {}, part
  end
  part = math.max(part, newest)
  local window = { limit = limit, span = span, width = width, part = part, taken = 0, changed = false }
  window.total, window.oldest = tonumber(head[1] or 0), tonumber(head[2] or part)
  forget(key, window)
  windows[index] = window
end

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
end

local answers = {}
local at = #KEYS * 2 + 1
while ARGV[at] do
  local count = tonumber(ARGV[at])
  local refused, longest = 0, -1
  for take = 1, count do
    local index = tonumber(ARGV[at + take])
    local window = windows[index]
    if window.total + window.taken >= window.limit then
      local ms = wait(index)
      if ms > longest then refused, longest = take, ms end
    end
  end
  if refused == 0 then
    for take = 1, count do
      local window = windows[tonumber(ARGV[at + take])]
      window.taken = window.taken + 1
    end
  end
  answers[#answers + 1] = refused
  answers[#answers + 1] = longest
  at = at + count + 1
end

for index, key in ipairs(KEYS) do
  local window = windows[index]
  if window.taken > 0 then
    redis.call('HINCRBY', key, window.part, window.taken)
    redis.call('HSET', key, 't', window.total + window.taken, 'o', window.oldest, 'n', window.part)
    redis.call('PEXPIRE', key, (window.part + 1) * window.width + window.span - now)
  elseif window.changed then
    redis.call('HSET', key, 't', window.total, 'o', window.oldest)
  end
end
return answers
`;
}
