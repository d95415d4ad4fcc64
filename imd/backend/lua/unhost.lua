-- ARGV: prefix, boot, server, room.
local boot, server, room = ARGV[2], ARGV[3], ARGV[4]
local held = redis.call('HGET', room_of(room), server)
if held and split_count(held) == boot then
    redis.call('HDEL', room_of(room), server)
    recount(room, server)
end
