// Tables as spreadsheets and people write them: CSV by RFC 4180, with commas, semicolons or tabs,
// in UTF-8 or UTF-16. Nextflow's splitCsv drops surplus values and does not say where a row is.

// The header, and the rows that have a value with the line each starts at; or what is wrong with the file
def tableOf(path, known) {
    def text = textIn(path)
    if (text == null) {
        return [problem: "is not text in UTF-8; save it as 'CSV UTF-8'."]
    }
    // Excel's own way to name the separator
    def first_line = /(?i)\A"?sep=([^\n])"?[,;\s&&[^\n]]*(?=\n|\z)/
    def stated = text =~ first_line
    def separator = stated.find() ? stated.group(1) : separatorOf(text, known)
    def found = recordsOf(text.replaceFirst(first_line, ''), separator)
    if (found.open) {
        return [problem: "row ${found.open}: a cell starts with a quote (\") that is never closed; close it, or leave it out."]
    }
    def records = found.records.findAll { record -> record.cells.any { cell -> cell } }
    return [header: records ? records[0].cells : [], rows: records.drop(1), decimal_comma: separator != ',']
}

// Text with \n for every kind of line end, or null of what is none
def textIn(path) {
    if (path.size() > 10_000_000) {
        return null
    }
    def bytes = path.bytes
    // the byte order mark, in either order
    def is_utf16 = bytes.size() > 1 && [bytes[0] as int, bytes[1] as int].sort() == [-2, -1]
    def text = new String(bytes, is_utf16 ? 'UTF-16' : 'UTF-8').replace('\uFEFF', '')
    return text.contains('\uFFFD') || text.contains('\0') ? null : text.replaceAll(/\r\n?/, '\n')
}

// The one that gives the header most of the known columns, or else most columns
def separatorOf(text, known) {
    return [',', ';', '\t'].max { separator ->
        def records = recordsOf(text.take(10_000), separator).records
        def header = records.find { record -> record.cells.any { cell -> cell } }?.cells ?: []
        1000 * header.count { name -> name in known } + header.size()
    }
}

// The records of a text, and the line at which a quote opens that nothing closes. A cell may hold
// separators, doubled quotes and line ends between quotes; what surrounds its text is left out.
def recordsOf(text, separator) {
    def records = []
    def cells = []
    def cell = new StringBuilder()
    def state = 'before'
    def line = 1
    def start = 1
    def opened = 0
    "${text}\n".each { character ->
        if (state == 'quoted') {
            if (character == '"') {
                state = 'quote'
            }
            else {
                cell.append(character)
            }
        }
        else if (character == separator || character == '\n') {
            cells << cell.toString().replaceAll(/\A[\s\u00A0]+|[\s\u00A0]+\z/, '')
            cell.setLength(0)
            state = 'before'
            if (character == '\n') {
                records << [line: start, cells: cells]
                cells = []
                start = line + 1
            }
        }
        else if (character == '"' && state in ['before', 'quote']) {
            if (state == 'before') {
                cell.setLength(0)
                opened = line
            }
            else {
                cell.append(character)
            }
            state = 'quoted'
        }
        else {
            cell.append(character)
            state = state == 'before' && character.isBlank() ? 'before' : 'plain'
        }
        if (character == '\n') {
            line += 1
        }
    }
    return [records: records, open: state == 'quoted' ? opened : null]
}
