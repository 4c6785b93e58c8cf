// The slides that a user names, as rows: those of --input, or --image as the only one.
// What a samplesheet has, and what each column must be, is in assets/schema_input.json alone.

include { fileAt ; fileProblem ; foundAt } from './files'
include { bytesOf ; imagesAt ; sampleNameOf } from './images'
include { compartmentOf ; namesOf ; ownMasksOf } from './slides'
include { expectedOf ; refuse ; repeatedOf ; schemaOf ; textOf ; typed } from './schema'
include { isSlipOf ; plainName } from './spelling'
include { tableOf } from './table'

// The rows, checked: of each column the value, files as paths and an image as a list of them, in columns those
// of a user's own, and of slides to segment the size of the image in bytes. What is wrong with a row ends the
// run, but in a check, which tells it beside what it finds in the files of the others
def rowsOf(options) {
    if (!options.image && !options.input) {
        return []
    }
    def rules = rulesOf(options.mode)
    def sheet = options.image ? [rows: [imageRow(options, rules)], own: [], problems: []] : sheetOf(options, rules)
    def read = sheet.rows.collect { row -> rules.columns.collectEntries { name, _column -> [name, cellOf(name, textOf(row.cells[name]), rules, name in row.cells_of_parameters ? null : sheet.folder)] } }
    def problems = [sheet.rows, read].transpose().collect { row, cells -> placed(row, row.problems + rowProblems(row.cells, cells, rules, sheet, options)) }
    refuse(sheet.problems + (options.mode == 'check' ? [] : problems.flatten()))
    warningsOf(sheet.rows, options).each { warning -> log.warn(warning) }
    def values = read.collect { cells -> cells.collectEntries { name, cell -> [name, cell.value] } }
    refuse(options.mode == 'train' ? splitProblems(values*.split, options) : [])
    def names = options.segmenter.size() == 1 ? [] : values.collectMany { row -> ([row.sample] + namesOf(row.sample, options)).unique() }
    refuse(repeatedOf(names).collect { name, _count -> "sample ${name} is what the results of another are called, with --segmenter ${options.segmenter.join(',')}; rename it." })
    return [values, ownColumns(sheet.rows*.cells, sheet), problems, sheet.rows].transpose().collect { row, own, wrong, given ->
        def bytes = options.mode in ['segment', 'check'] && !wrong ? bytesOf(row.image, options.bundle_max_mb * 1_000_000L) : null
        row + [columns: own, bytes: bytes] + (wrong ? [place: given.place, problems: wrong] : [:])
    }
}

def placed(row, sentences) {
    return sentences.collect { sentence -> "${row.place}: ${sentence}".replaceAll(/\p{Cntrl}+/, ' ') }
}

// Of a samplesheet of this mode: its columns in their order, those that it must have, those that take a
// parameter where they are empty, those that tell rows apart, those of other modes, and what a user's own may not be called
def rulesOf(mode) {
    def schema = schemaOf(file("${projectDir}/assets/schema_input.json"))
    def kind = schema['$defs'].values().find { sheet -> mode in sheet.modes }.items
    def columns = schema.items.properties.findAll { name, _column -> !kind.properties || kind.properties[name] != false }
    return [
        columns: columns,
        required: schema.items.required + (kind.required ?: []),
        parameters: schema.parameters.findAll { name -> name in columns },
        unique: schema.uniqueEntries,
        elsewhere: (schema.items.properties - columns).collectEntries { name, _column -> [name, schema['$defs'].values().find { sheet -> sheet.items.properties[name] != false }.modes[0]] },
        reserved: mode in ['segment', 'check'] ? schema.items.propertyNames.not.anyOf : [],
    ]
}

// The parameters that are columns too, and of one slide alone, which a samplesheet has in its rows
def ofOneSlide(options) {
    def rules = rulesOf(options.mode)
    return (rules.columns.keySet() - rules.parameters).findAll { name -> options[name] != null }
}

def imageRow(options, rules) {
    def cells = options.subMap(rules.columns.keySet()) + [sample: options.sample ?: sampleNameOf(options.image)]
    return [place: '--image', cells: cells, cells_of_parameters: cells.keySet(), problems: []]
}

// The rows as they stand in the samplesheet, and what is wrong with it as a whole
def sheetOf(options, rules) {
    def missing = fileProblem(options.input, null)
    refuse(missing ? ["--input ${options.input} ${missing}"] : [])
    def path = file(options.input, glob: false)
    def table = tableOf(path, rules.columns.keySet())
    refuse(table.problem ? ["${path.name}: ${table.problem}"] : [])
    def defaults = rules.parameters.collectEntries { name -> [name, textOf(options[name])] }.findAll { _name, text -> text }
    def rows = table.rows.collect { record ->
        def columns = [table.header, record.cells].transpose().findAll { name, _text -> name }
        def surplus = record.cells.indexed().findAll { index, text -> text && !table.header[index] }.values()
        def texts = columns.collectEntries { name, text -> [name, table.decimal_comma && rules.columns[name]?.type == 'number' ? withPoint(text) : text] }
        def taken = defaults.findAll { name, _text -> !texts[name] }
        [
            place: "${path.name}, row ${record.line}",
            line: record.line,
            cells: texts + taken,
            cells_of_parameters: taken.keySet(),
            problems: surplus ? ["has ${record.cells.size()} values for ${table.header.findAll { name -> name }.size()} columns: '${surplus.join("', '")}' is in none. Channels are separated by ';', and a value with the table's own separator in it needs quotes."] : [],
        ]
    }
    def own = table.header.findAll { name -> name && !rules.columns.containsKey(name) && rows.any { row -> row.cells[name] } }
    if (own && !(options.mode in ['segment', 'check'])) {
        log.info("${path.name}: --mode ${options.mode} ignores the column${own.size() > 1 ? 's' : ''} ${own.join(', ')}.")
    }
    return [
        rows: rows,
        own: own,
        folder: path.parent,
        decimal_comma: table.decimal_comma,
        header: table.header,
        problems: (headerProblems(table.header, rows, rules, defaults.keySet()) + repeatProblems(rows, rules)).collect { problem -> "${path.name}: ${problem}".replaceAll(/\p{Cntrl}+/, ' ') },
    ]
}

// A number with a decimal comma, with a point
def withPoint(text) {
    return text ==~ /[+-]?\d*,\d+/ ? text.replace(',', '.') : text
}

def headerProblems(header, rows, rules, given) {
    def known = rules.columns.keySet()
    def names = header.findAll { name -> name }
    def missing = (rules.required - names - given).collect { name -> name in rules.parameters ? "${name} (or --${name} for all rows)" : name }
    def what = (rows ? [] : ['no rows']) + (missing ? ["no column ${missing.join(', ')}"] : [])
    def shape = "a samplesheet has the columns ${known.join(',')} (${(known - rules.required).join(', ')} may be missing), further ones of your own, and one row per slide."
    def twice = names.countBy { name -> name }.findAll { _name, count -> count > 1 }.keySet()
    def alike = names.toUnique().groupBy { name -> plainName(name) }.values().findAll { same -> same.size() > 1 && !same.any { name -> name in known } }
    return (what ? ["${what.join(', ')}; ${shape}"] : []) +
        twice.collect { name -> "column ${name} occurs twice; give each once." } +
        alike.collect { same -> "columns ${same.join(', ')} have all but the same name; rename one." } +
        names.toUnique().findAll { name -> !(name in known) }.collect { name -> nameProblem(name, names, rules) }.findAll { problem -> problem }
}

// A user's own column must not be a mistyped one, nor have the name of another in the results
def nameProblem(name, names, rules) {
    if (name in rules.elsewhere) {
        return "column ${name} is for --mode ${rules.elsewhere[name]}; add that, or leave it out."
    }
    def meant = rules.columns.keySet().find { known -> resembles(name, known, rules.columns[known], names) }
    if (meant) {
        return "unknown column ${name}; did you mean ${meant}? A column of your own needs a name that differs more."
    }
    def is_reserved = rules.reserved.any { rule -> rule.pattern ? name.toLowerCase() =~ rule.pattern : name.toLowerCase() in rule['enum'] }
    return is_reserved || !plainName(name) ? "column ${name} would be mistaken for one of the results'; rename it, for example slide_${plainName(name) ?: 'note'}." : null
}

// A name that is nearly a known one, or that may stand for one that the samplesheet lacks
def resembles(name, known, column, names) {
    if (isSlipOf(name, known)) {
        return true
    }
    def stands_for = known.size() > 1 && plainName(name).contains(plainName(known)) || known.tokenize('_').contains(plainName(name)) || isSlipOf(name, column.title ?: known)
    return !(known in names) && stands_for
}

def repeatProblems(rows, rules) {
    return rules.unique.collectMany { column ->
        def same = rows.findAll { row -> row.cells[column] }.groupBy { row -> row.cells[column].toLowerCase() }.values().findAll { group -> group.size() > 1 }
        same.collect { group ->
            def names = group.collect { row -> row.cells[column] }.toUnique()
            def what = names.size() == 1 ? "${column} ${names[0]} occurs ${group.size()} times" : "${column} ${names.join(', ')} differ only in capitals, which not every disk keeps apart"
            "${what} (rows ${group*.line.join(', ')}); every row needs a unique name."
        }
    }
}

def rowProblems(row, cells, rules, sheet, options) {
    def problems = cells
        .findAll { name, cell -> cell.problem && (!sheet.header || name in sheet.header || !(name in rules.required)) }
        .collect { _name, cell -> cell.problem }
    if (!row.membrane && options.compartment == 'whole-cell' && options.mode != 'train' && 'mesmer' in options.segmenter) {
        problems << 'no membrane channel is named, without which whole cells cannot be segmented; name one, or use --compartment nuclear.'
    }
    if (row.membrane && asksForMore(row.membrane, options)) {
        problems << nucleiAlone()
    }
    def masks = 'masks' in options.segmenter && options.mode in ['segment', 'check'] ? ownMasksOf(row, options) : null
    if (masks == []) {
        def wanted = [both: 'cells or of nuclei', 'whole-cell': 'cells', nuclear: 'nuclei'][options.compartment]
        problems << "--segmenter masks needs a mask of ${wanted}, and none is named; give cell_mask or nucleus_mask."
    }
    if (options.expand_um && 'cell_mask' in (masks ?: [])) {
        problems << "--expand_um ${options.expand_um} grows nuclei to cells, and there is a cell_mask; leave out one of them."
    }
    return problems
}

// Whether whole cells are asked for of the network for nuclei. Beside another segmenter it gives nuclei
def asksForMore(membrane, options) {
    def alone = options.segmenter == ['nuclei'] && membrane && options.compartment == 'both'
    def asked = alone || 'nuclei' in options.segmenter && options.compartment == 'whole-cell'
    return asked && !options.expand_um && options.mode in ['segment', 'check']
}

def nucleiAlone() {
    return "--segmenter nuclei finds nuclei, and whole cells are asked for; add --expand_um with a distance in um, which makes cells of nuclei, or --compartment nuclear."
}

// The value of a cell, and what is wrong with it
def cellOf(name, text, rules, folder) {
    def column = rules.columns[name]
    if (text == '' && !(name in rules.required)) {
        return [value: typed(textOf(column.default), column)]
    }
    if (text.toLowerCase() in (column.not ? column.not['enum'] : [])) {
        return [problem: "${name} '${text}' is the name of a file or folder of the run itself; choose another${folder ? '' : ', with --sample'}."]
    }
    def expected = text == '' ? 'empty' : expectedOf(text, column)
    if (expected && column.errorMessage) {
        return [problem: "${name} '${text}': ${column.errorMessage}."]
    }
    if (expected) {
        def remedy = name in rules.parameters ? "; fill in the column ${name}, or give --${name} for all rows where it is empty" : ''
        return [problem: text == '' ? "no ${column.title} is named${remedy}. ${column.description}." : "${name} '${text}' is not ${expected}. ${column.description}."]
    }
    if (!(column.format in ['file-path', 'path'])) {
        return [value: typed(text, column)]
    }
    def found = name == 'image' ? imagesAt(text, folder) : column.format == 'path' ? foundAt(text, folder) : fileAt(text, folder)
    return [value: found.paths ?: found.path, problem: found.problem && column.exists ? "${name} ${text} ${found.problem}" : null]
}

// Something to learn from, and something for the test
def splitProblems(splits, options) {
    if (!('train' in splits)) {
        return ["${options.input}: no row has split 'train'; there are no training data."]
    }
    return !('test' in splits) && options.held_out == 0 ? ["--held_out ${options.held_out}: nothing is left for the test; raise it, or give a row split 'test'."] : []
}

// Many rows with one of them share a line
def warningsOf(rows, options) {
    def found = rows.collectMany { row -> rowWarnings(row.cells, options).collect { text -> [row: row, text: text] } }
    return found.groupBy { warning -> warning.text }.collectMany { text, same ->
        same.size() <= 5 ? same.collectMany { warning -> placed(warning.row, [text]) } : placed([place: "${same[0].row.place}, and ${same.size() - 1} other rows"], [text])
    }
}

def rowWarnings(row, options) {
    def warnings = []
    def compartments = options.segmenter.collectEntries { segmenter -> [segmenter, compartmentOf(row, segmenter, options)] }
    if (options.compartment == 'both' && compartments.any { segmenter, compartment -> !(segmenter in ['nuclei', 'masks']) && compartment == 'nuclear' }) {
        warnings << 'no membrane channel is named: nuclear segmentation only.'
    }
    if (options.evaluate && !('both' in compartments.values())) {
        warnings << '--evaluate needs both compartments: this sample is not scored.'
    }
    if ((row.cell_mask || row.nucleus_mask) && !('masks' in options.segmenter) && options.mode in ['segment', 'check']) {
        warnings << "cell_mask and nucleus_mask are for --segmenter masks, and --segmenter ${options.segmenter.join(',')} does not take them."
    }
    return warnings
}

// Of each row, a user's own columns: numbers where a column has nothing else, and text. What is
// missing is null among numbers, and '' in text. A number that would lose digits, as of an id, is text.
def ownColumns(rows, sheet) {
    def columns = sheet.own.collectEntries { name ->
        def given = rows.collect { row -> textOf(row[name]) }
        def texts = sheet.decimal_comma ? given.collect { text -> withPoint(text) } : given
        def filled = texts.findAll { text -> text }
        def is_whole = texts.every { text -> text ==~ /-?(0|[1-9]\d{0,14})/ }
        def is_number = filled.every { text -> text ==~ /-?(0|[1-9]\d{0,14})?(\.\d{1,14})?([eE][+-]?\d{1,2})?/ && text.isBigDecimal() }
        [name, is_whole ? texts*.toLong() : is_number ? texts.collect { text -> text ? text as Double : null } : given]
    }
    return rows.indices.collect { index -> columns.collectEntries { name, values -> [name, values[index]] } }
}
