/** Lua for Redis, one Redis and no cluster: a record names the key that finds it. */

/**
 * KEYS: record, its caller's name, its upstream name; of the task, then of the context (empty where absent); what waits for Postgres.
 * Says whether Postgres has to hear of it: `same` where nothing changed and it was touched lately. Without an id (ARGV[11]) only what is here is brought up to date; with one what is missing is made.
 */
export const registerScript = `
local identity, ttl, id = ARGV[1], ARGV[10], ARGV[11]
local function ended(state)
  return state == 'TASK_STATE_COMPLETED' or state == 'TASK_STATE_FAILED' or state == 'TASK_STATE_CANCELED' or state == 'TASK_STATE_REJECTED'
end
local missing = {}
for at = 1, 4, 3 do
  if KEYS[at] ~= '' then
    local owner = redis.call('HGET', KEYS[at], 'identity')
    if owner and owner ~= identity then return 'other' end
    if not owner then missing[at] = true end
  end
end
if id == '' and next(missing) then return 'missing' end
if id ~= '' then
  if redis.call('HLEN', KEYS[7]) >= tonumber(ARGV[12]) then return 'full' end
  redis.call('HSET', KEYS[7], id, ARGV[13])
end
for at = 1, 4, 3 do
  local record = KEYS[at]
  if record ~= '' then
    local client, upstream = ARGV[at == 1 and 2 or 4], ARGV[at == 1 and 3 or 5]
    if missing[at] then
      redis.call('HSET', record, 'identity', identity, 'upstream', upstream, 'stateAt', ARGV[7])
      for _, name in ipairs({{KEYS[at + 1], client}, {KEYS[at + 2], upstream}}) do
        if redis.call('SET', name[1], record, 'NX', 'EX', ttl) then
          redis.call('HSET', record, 'client', name[2], 'name', name[1])
          break
        end
      end
    end
    redis.call('EXPIRE', record, ttl)
    local name = redis.call('HGET', record, 'name')
    if name then redis.call('EXPIRE', name, ttl) end
  end
end
local function kept(isChanged)
  if isChanged or next(missing) then return 'kept' end
  local record = KEYS[1] ~= '' and KEYS[1] or KEYS[4]
  local now = tonumber(redis.call('TIME')[1])
  local touched = tonumber(redis.call('HGET', record, 'touched') or 0)
  if now - touched < tonumber(ttl) / 50 then return 'same' end
  redis.call('HSET', record, 'touched', now)
  return 'kept'
end
local task, isChanged = KEYS[1], false
if task == '' then return kept(false) end
if KEYS[4] ~= '' then
  if redis.call('HSETNX', task, 'context', ARGV[5]) == 1 then isChanged = true end
  local client = redis.call('HGET', KEYS[4], 'client')
  if client and redis.call('HGET', task, 'context') == ARGV[5] then redis.call('HSET', task, 'contextClient', client) end
end
local state, at = ARGV[6], tonumber(ARGV[7])
if state ~= '' then
  local known = redis.call('HMGET', task, 'state', 'stateAt')
  local knownAt = tonumber(known[2] or 0)
  if not known[1] or state ~= known[1] and (at > knownAt or at == knownAt and not ended(known[1])) then
    redis.call('HSET', task, 'state', state, 'stateAt', ARGV[7])
    isChanged = true
  end
end
if ARGV[9] ~= '' and redis.call('HEXISTS', task, 'stream') == 0 then
  redis.call('HSET', task, 'egress', ARGV[8], 'stream', ARGV[9])
  isChanged = true
end
return kept(isChanged)`;

/** KEYS: record, name. ARGV: identity, ttl, fields and values. What is known here is newer. */
export const fillScript = `
local owner = redis.call('HGET', KEYS[1], 'identity')
if owner and owner ~= ARGV[1] then return 0 end
if not owner then redis.call('HSET', KEYS[1], unpack(ARGV, 3)) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], KEYS[1], 'EX', ARGV[2])
return 1`;

/** KEYS: record. ARGV: expected egress and stream, wanted egress and stream; empty for none. */
export const watchScript = `
if redis.call('EXISTS', KEYS[1]) == 0 then return {-1} end
local kept = redis.call('HMGET', KEYS[1], 'egress', 'stream')
local egress, stream = kept[1] or '', kept[2] or ''
if egress ~= ARGV[1] or stream ~= ARGV[2] then return {0, egress, stream} end
if ARGV[4] == '' then redis.call('HDEL', KEYS[1], 'egress', 'stream')
else redis.call('HSET', KEYS[1], 'egress', ARGV[3], 'stream', ARGV[4]) end
return {1}`;
