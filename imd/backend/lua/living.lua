-- What the scripts of presence and rooms share. ARGV[1] is the prefix of every key.
local prefix = ARGV[1]
local leases = {} -- server -> the boot that holds its lease, false for none; asked once a script

local function lives(server, boot)
    local held = leases[server]
    if held == nil then
        held = redis.call('GET', prefix .. ':lease:' .. server)
        leases[server] = held
    end
    return held == boot
end
