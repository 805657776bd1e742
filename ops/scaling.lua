-- For wrk, which ops/scaling.py starts: posts unique SMS as GoHighLevel does, of leads that are taken at random. So the
-- messages of one lead come over several daemons.
local loader, leads = tonumber(os.getenv("LOADER")), tonumber(os.getenv("LEADS"))
local pause_ms, clients = tonumber(os.getenv("PAUSE_MS")), tonumber(os.getenv("CLIENTS"))
local texts = {"yes, I am interested. What does it cost?", "not for us, thanks", "who is this?", "maybe next quarter",
  "send me some details please", "we have a vendor already", "call me tomorrow at 10", "can we meet on Tuesday?"}
local body = '{"contact_id": "lead%d", "first_name": "Rita", "phone": "+1312%07d", "country": "US", ' ..
  '"location": {"id": "demo"}, "workflow": {"id": "w1", "name": "Customer replied"}, ' ..
  '"message": {"type": 2, "body": "Hey %d-%d, %s"}}'
local number, headers = 0, {["content-type"] = "application/json"}
function init() math.randomseed(loader) end
function request()
  number = number + 1
  local lead, text = math.random(leads), texts[number % #texts + 1]
  local filled = string.format(body, lead, 2000000 + lead, loader, number, text)
  return wrk.format("POST", "/webhooks/sms/c" .. lead % clients, headers, filled)
end
if pause_ms > 0 then function delay() return pause_ms end end
function done(summary, latency)
  local it = summary.errors
  print("RESULT " .. summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    it.connect + it.read + it.write + it.status + it.timeout)
end
