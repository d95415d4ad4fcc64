-- ARGV: prefix, boot, server, seconds, room. Keeps the count of the same boot.
local boot, server, seconds, room = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local held = redis.call('HGET', room_of(room), server)
if not held or split_count(held) ~= boot then
    redis.call('HSET', room_of(room), server, boot .. ':0')
end
redis.call('EXPIRE', room_of(room), seconds)
