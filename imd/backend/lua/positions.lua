-- ARGV from 6: a timeline. Returns its positions as they are stored, when they are of its numbering.
local head = stored_head(ARGV[6])
local key = base .. ':a:' .. ARGV[6]
local its = string.match(redis.call('HGET', key, '') or '', '^%S+')
if head and head.epoch == its and string.sub(its, 1, #epoch + 1) == epoch .. '-' then
    return finish({redis.call('HGETALL', key)})
end
return finish({{}})
