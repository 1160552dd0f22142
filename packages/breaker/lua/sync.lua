-- Takes instances' requests into their breakers' records: the fleet's state machine. src/cluster-state.ts says the same in
-- TypeScript; one suite of tests holds the two together.
--
-- For each breaker n, from 1:
--   KEYS[2n-1]  holdfast:{namespace/service/name}:breaker, a hash: the state (fields: docs/concepts-breaker.md)
--   KEYS[2n]    holdfast:{namespace/service/name}:window, a hash: t, d:<domain> -> results in the window
--   ARGV[2n-1]  the request, JSON (SyncRequest in src/store.ts)
--   ARGV[2n]    holdfast:{namespace/service/name}:hint, the channel that is told of transitions
--
-- Returns for each breaker a JSON object {view, leases} (SyncReply in src/store.ts). Errors are Redis's own: there is no
-- request that the script refuses. A record with a newer schema is left alone and its schema number returned.

local SCHEMA = 1
local BUCKETS = 10
local HOUR_MS = 3600000
local MOST_DOMAINS = 1000
local SETTLE_MS = 500

local time = redis.call('TIME') -- the store's clock: tests replace this line
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000

-- A deadline further away than its configured maximum is due: the server's clock was set back since it was made.
local function is_due(deadline, longest)
  return now >= deadline or deadline - now > longest
end

local function stamp(ms)
  return string.format('%.3f', ms)
end

local function open_time(opens, settings, draw)
  return math.min(settings.maxOpenMs, settings.openMs * 2 ^ math.min(opens - 1, 40)) * (1 - 0.2 * draw)
end

local function trials_needed(settings)
  return math.max(1, math.ceil(settings.halfOpenPermits * settings.halfOpenSuccessRatio - 1e-9))
end

local function domains_needed(active)
  if active <= 1 then return 1 end
  return math.max(2, math.ceil(active / 5))
end

local function read(key, nonce)
  local flat = redis.call('HGETALL', key)
  if #flat == 0 then
    return {
      schema = SCHEMA, incarnation = nonce, generation = 1, state = 'closed', since = now, untilMs = 0, opens = 0,
      by = '', decided = now, active = 0, waitingBy = '', waitingAt = 0, trials = {}, dirty = true,
    }
  end
  local field = {}
  for i = 1, #flat, 2 do field[flat[i]] = flat[i + 1] end
  return {
    schema = tonumber(field.schema), incarnation = field.incarnation, generation = tonumber(field.generation),
    state = field.state, since = tonumber(field.since), untilMs = tonumber(field['until']),
    opens = tonumber(field.opens), by = field.by, decided = tonumber(field.decided), active = tonumber(field.active),
    waitingBy = field.waitingBy, waitingAt = tonumber(field.waitingAt), trials = cjson.decode(field.trials),
    dirty = false,
  }
end

local function write(key, record)
  redis.call('HSET', key,
    'schema', record.schema, 'incarnation', record.incarnation, 'generation', string.format('%.0f', record.generation),
    'state', record.state, 'since', stamp(record.since), 'until', stamp(record.untilMs),
    'opens', string.format('%.0f', record.opens), 'by', record.by, 'decided', stamp(record.decided),
    'active', string.format('%.0f', record.active), 'waitingBy', record.waitingBy,
    'waitingAt', stamp(record.waitingAt), 'trials', cjson.encode(record.trials))
end

local function view_of(record)
  local remaining = 0
  if record.state == 'open' then remaining = math.max(0, record.untilMs - now) end
  -- Numbers with 13 digits before the point go as text: cjson writes 14 digits, and a microsecond needs 16.
  return {
    schema = record.schema, incarnation = record.incarnation, generation = record.generation, state = record.state,
    sinceMs = stamp(record.since), remainingMs = remaining, opens = record.opens, by = record.by,
    decidedAtMs = stamp(record.decided),
  }
end

local function move(record, window_key, state, by)
  record.generation = record.generation + 1
  record.state = state
  record.since = now
  record.untilMs = 0
  record.by = by
  record.decided = now
  record.waitingBy = ''
  record.waitingAt = 0
  record.trials = {}
  record.dirty = true
  redis.call('DEL', window_key)
end

local function open(record, window_key, request)
  move(record, window_key, 'open', request.instance)
  record.opens = record.opens + 1
  record.untilMs = now + open_time(record.opens, request.settings, request.draw)
end

-- Lets go of buckets outside the window, on either side, and counts into the present one. A bucket is written
-- start:successes:failures. Returns the text and the sums.
local function add(text, successes, failures, settings)
  local bucket_ms = settings.windowMs / BUCKETS
  local present = stamp(math.floor(now / bucket_ms) * bucket_ms)
  local kept, total_successes, total_failures, found = {}, successes, failures, false
  for start, s, f in string.gmatch(text, '([%d.]+):(%d+):(%d+)') do
    local at = tonumber(start)
    if at > now - settings.windowMs and at <= now then
      total_successes = total_successes + s
      total_failures = total_failures + f
      if start == present then
        found = true
        s = s + successes
        f = f + failures
      end
      kept[#kept + 1] = string.format('%s:%.0f:%.0f', start, s, f)
    end
  end
  if not found and successes + failures > 0 then
    kept[#kept + 1] = string.format('%s:%.0f:%.0f', present, successes, failures)
  end
  return table.concat(kept, ' '), total_successes, total_failures
end

local function at_rate(failures, calls, settings)
  return failures > 0 and failures >= settings.failureRateThreshold * calls
end

-- The quorum: src/quorum.ts explains it. Drops domains that have left the window on the way.
local function fleet_trips(record, window_key, request)
  local settings = request.settings
  local active, calls, failures, failing, down, run, worst_failures, worst_calls = 0, 0, 0, 0, 0, 0, 0, 0
  local flat = redis.call('HGETALL', window_key)
  for i = 1, #flat, 2 do
    if flat[i] ~= 't' then
      local domain_run, text = string.match(flat[i + 1], '^(%d+)|(.*)$')
      local kept, s, f = add(text, 0, 0, settings)
      if kept == '' then
        redis.call('HDEL', window_key, flat[i])
      else
        active = active + 1
        calls = calls + s + f
        failures = failures + f
        if at_rate(f, s + f, settings) then failing = failing + 1 end
        domain_run = tonumber(domain_run)
        if domain_run > 0 then
          down = down + 1
          run = run + domain_run
        end
        -- Of several with as many failures the one with fewest calls: HGETALL has no order to rely on.
        if f > worst_failures or (f == worst_failures and s + f < worst_calls) then
          worst_failures = f
          worst_calls = s + f
        end
      end
    end
  end
  if record.generation == 1 and not is_due(record.since + SETTLE_MS, SETTLE_MS) then return false end
  local there = active
  if not is_due(record.since + settings.windowMs, settings.windowMs) then there = math.max(active, record.active) end
  record.there = there
  local needed = domains_needed(there)
  local consecutive = settings.consecutiveFailures
  local runs = consecutive > 0 and (request.tripped or request.tail > 0)
  if runs and run >= consecutive and down >= needed and down > there - down then return true end
  local enough = calls >= settings.minimumCalls or (there == 1 and request.tripped)
  if not enough or failing < needed or not at_rate(failures, calls, settings) then return false end
  return active == 1 or at_rate(failures - worst_failures, calls - worst_calls, settings)
end

local function count(record, window_key, request)
  local settings = request.settings
  local of_this_generation = request.incarnation == ''
    or (request.incarnation == record.incarnation and request.generation == record.generation)
  if not of_this_generation then return end
  local successes, failures = request.successes, request.failures
  local field = 'd:' .. request.domain
  local stored = redis.call('HMGET', window_key, 't', field)
  local totals, all_successes, all_failures = add(stored[1] or '', successes, failures, settings)
  if successes + failures > 0 then
    local run, text = 0, ''
    if stored[2] then
      local stored_run, stored_text = string.match(stored[2], '^(%d+)|(.*)$')
      run, text = tonumber(stored_run), stored_text
    end
    if successes > 0 then run = request.tail else run = run + failures end
    redis.call('HSET', window_key, 't', totals, field, string.format('%.0f|%s', run, (add(text, successes, failures, settings))))
    redis.call('PEXPIRE', window_key, string.format('%.0f', settings.windowMs + HOUR_MS))
  end
  if failures == 0 and not request.tripped then
    -- Names of domains that are gone would pile up where nothing ever fails.
    if redis.call('HLEN', window_key) > MOST_DOMAINS then fleet_trips(record, window_key, request) end
    return
  end
  -- Looking at every domain costs; what cannot trip by the totals alone is not looked at.
  local may_trip = request.tripped or request.tail > 0
    or (all_successes + all_failures >= settings.minimumCalls
      and at_rate(all_failures, all_successes + all_failures, settings))
  if may_trip and fleet_trips(record, window_key, request) then
    record.active = record.there
    open(record, window_key, request)
  end
end

local function take_results(record, window_key, request)
  local settings = request.settings
  for _, result in ipairs(request.trials) do
    for place, trial in ipairs(record.trials) do
      -- An expired trial may have been given to somebody else: its result comes too late to count.
      if trial.token == result.token and trial.outcome == '' and not is_due(trial.deadline, settings.leaseMs) then
        if result.outcome == 'ignored' then
          table.remove(record.trials, place)
        else
          trial.outcome = result.outcome
        end
        record.dirty = true
        break
      end
    end
  end
  local successes, failures = 0, 0
  for _, trial in ipairs(record.trials) do
    if trial.outcome == 'success' then successes = successes + 1 end
    if trial.outcome == 'failure' then failures = failures + 1 end
  end
  local needed = trials_needed(settings)
  if successes >= needed then
    move(record, window_key, 'closed', request.instance)
    record.opens = 0
  elseif failures > settings.halfOpenPermits - needed then
    open(record, window_key, request)
  end
end

local function grant(record, request)
  local lease_ms, permits = request.settings.leaseMs, request.settings.halfOpenPermits
  local kept = {}
  for _, trial in ipairs(record.trials) do
    if trial.outcome ~= '' or not is_due(trial.deadline, lease_ms) then kept[#kept + 1] = trial end
  end
  if #kept ~= #record.trials then record.dirty = true end
  record.trials = kept
  local leases = {}
  local others_wait = record.waitingBy ~= '' and record.waitingBy ~= request.instance
    and not is_due(record.waitingAt + lease_ms, lease_ms)
  if not others_wait then
    for _, token in ipairs(request.renew) do
      for _, trial in ipairs(kept) do
        if trial.token == token and trial.outcome == '' then
          trial.deadline = now + lease_ms
          leases[#leases + 1] = token
          record.dirty = true
        end
      end
    end
  end
  if request.wanted == 0 then return leases end
  -- One domain's trials must not decide for all while others might ask; later whoever is there may have the rest.
  local share = permits
  if not is_due(record.since + lease_ms, lease_ms) then
    share = math.max(1, math.ceil(permits / math.max(1, record.active)))
  end
  local of_domain = 0
  for _, trial in ipairs(kept) do
    if trial.domain == request.domain then of_domain = of_domain + 1 end
  end
  local granted = math.max(0, math.min(request.wanted, permits - #kept, share - of_domain))
  for place = 0, granted - 1 do
    local token = request.nonce .. '-' .. place
    kept[#kept + 1] = { token = token, domain = request.domain, deadline = now + lease_ms, outcome = '' }
    leases[#leases + 1] = token
    record.dirty = true
  end
  if granted > 0 and record.waitingBy == request.instance then
    record.waitingBy = ''
    record.waitingAt = 0
  end
  if granted == 0 and #kept >= permits then
    record.waitingBy = request.instance
    record.waitingAt = now
    record.dirty = true
  end
  return leases
end

local function sync(state_key, window_key, request, channel)
  local settings = request.settings
  local record = read(state_key, request.nonce)
  if record.schema > SCHEMA then return cjson.encode({ view = { schema = record.schema } }) end
  local before = record.generation
  if type(request.held) == 'table' and request.incarnation ~= '' then
    local lost = record.generation == 1
    if record.incarnation == request.incarnation then lost = request.generation > record.generation end
    if lost then
      record.generation = math.max(record.generation, request.generation)
      move(record, window_key, 'open', request.instance)
      record.since = request.held.sinceMs
      record.untilMs = now + math.min(request.held.remainingMs, settings.maxOpenMs)
      record.opens = request.held.opens
    end
  end
  if record.state == 'closed' then count(record, window_key, request) end
  if record.state == 'half-open' then take_results(record, window_key, request) end
  if record.state == 'open' and request.wanted > 0 and is_due(record.untilMs, settings.maxOpenMs) then
    move(record, window_key, 'half-open', request.instance)
  end
  local leases = {}
  if record.state == 'half-open' then leases = grant(record, request) end
  if record.dirty then write(state_key, record) end
  redis.call('PEXPIRE', state_key, string.format('%.0f', settings.maxOpenMs + HOUR_MS))
  local view = view_of(record)
  if record.generation ~= before then redis.call('PUBLISH', channel, cjson.encode(view)) end
  return cjson.encode({ view = view, leases = leases })
end

local replies = {}
for n = 1, #KEYS / 2 do
  replies[n] = sync(KEYS[2 * n - 1], KEYS[2 * n], cjson.decode(ARGV[2 * n - 1]), ARGV[2 * n])
end
return replies
