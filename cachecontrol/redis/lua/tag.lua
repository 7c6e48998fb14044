-- Part of the scripts that read or move tags, which name it in a line `-- include tag`.
-- The state of a tag is one text: position of its last move, time of that move (microseconds), position before it. If the last
-- move was of single columns, there follow the position of the last move of all columns, and `column=position` of each column
-- that moved later. All parts are separated by spaces.

-- Return whether a tag moved past a position: in one of the columns, or in any column if there is none (`''`).
local function has_moved(state, columns, position)
  if string.sub(state, 1, POSITION_LENGTH) <= position then return false end
  local all, by_column = string.match(state, '^%S+ %S+ %S+ (%S+)(.*)$')
  if columns == ALL or not all or all > position then return true end
  for column in string.gmatch(columns, '[^,]+') do
    local _, last = string.find(by_column, ' ' .. column .. '=', 1, true)
    if last and string.sub(by_column, last + 1, last + POSITION_LENGTH) > position then return true end
  end
  return false
end

-- Return the state of a tag after a move of columns, or of all (`''`); nothing if it had moved as far before. Drains may come in
-- another order than that of their positions, so a move may lie before the last one.
local function state_after(state, columns, position, stamp)
  local last, time, before = string.match(state, '^(%S+) (%S+) ?(%S*)')
  if not last then return position .. ' ' .. stamp end -- another program wrote the state
  local all, by_column = string.match(state, '^%S+ %S+ %S+ (%S+)(.*)$')
  all, by_column = all or last, by_column or ''
  if position <= all then return nil end
  local moved, is_raised = {}, columns == ALL
  for column, at in string.gmatch(by_column, '([^ =]+)=(%S+)') do moved[column] = at end
  if columns == ALL then all = position end
  for column in string.gmatch(columns, '[^,]+') do
    if position > (moved[column] or all) then moved[column], is_raised = position, true end
  end
  if not is_raised then return nil end
  if position > last then
    last, time, before = position, stamp, last
  elseif position < last and position > before then
    before = position
  end
  local parts = {last, time, before, all}
  for column, at in pairs(moved) do
    if at > all then parts[#parts + 1] = column .. '=' .. at end
  end
  -- Without columns that moved later, and with too many of them, the last move counts for all columns.
  local is_of_columns = #parts > 4 and #parts <= 4 + COLUMNS_PER_TAG
  return table.concat(parts, ' ', 1, is_of_columns and #parts or 3)
end
