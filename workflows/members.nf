// The files of an OME-TIFF of several: what the OME-XML in one of them, or in their companion, says of the others.
// What cannot be understood is a single file here; INGEST says what is wrong with it.

include { isOnTheWeb ; isThere ; startOf } from './files'

// The named file and then those that belong to it, which lie beside it; or what is wrong with them
def membersOf(path) {
    def own = isOnTheWeb(path) || path.isFile() ? omeXmlOf(path) : [text: '']
    def companions = attributesOf(own.text, 'BinaryOnly', 'MetadataFile')*.value
    def problem = memberProblem(companions, path)
    if (problem) {
        return [problem: problem]
    }
    def is_whole = !companions || path.name in companions
    def named = attributesOf(is_whole ? own.text : omeXmlOf(path.resolveSibling(companions[0])).text, 'UUID', 'FileName')
    // A TIFF that was renamed names itself as it was called
    def is_alone = own.is_tiff && named*.value.toSet().size() == 1
    def own_id = attributesOf(own.text, 'OME', 'UUID').collect { root -> root.value.trim().toLowerCase() }
    def others = is_alone ? [] : named.findAll { member -> !own.is_tiff || !(member.content in own_id) }*.value
    def names = (companions + others as LinkedHashSet).findAll { name -> name != path.name }
    problem = memberProblem(names, path)
    return problem ? [problem: problem] : [paths: [path] + names.collect { name -> path.resolveSibling(name) }]
}

def memberProblem(names, path) {
    def elsewhere = names.find { name -> name =~ /[\/\\\p{Cntrl}]/ || name in ['.', '..'] }
    if (elsewhere) {
        return "is one file of an OME-TIFF of several, and names '${elsewhere.take(200)}' as another of its files; all of them must lie in one folder, and be named without it."
    }
    def missing = names.findAll { name -> !isBeside(name, path) }
    if (!missing) {
        return null
    }
    def listed = missing.take(3).collect { name -> "'${name.take(200)}'" }.join(', ') + (missing.size() > 3 ? " and ${missing.size() - 3} more" : '')
    return "is one file of an OME-TIFF of several, and ${path.parent.toUriString()} has no ${listed}; put all of its files into one folder."
}

def isBeside(name, path) {
    try {
        def beside = path.resolveSibling(name)
        return isOnTheWeb(beside) ? isThere(beside) : beside.isFile()
    }
    catch (Exception _failure) {
        return false // no file can have such a name here
    }
}

// Of each element of a name that has an attribute: the attribute's value, and the text in the element. By
// patterns that need no more time than the text is long, since a parser of XML would follow what it declares
def attributesOf(xml, element, attribute) {
    if (!xml.contains(attribute)) {
        return []
    }
    def valued = ~"(?:^|\\s)${attribute}\\s*=\\s*(?:\"([^\"]+)\"|'([^']+)')"
    return xml
        .replaceAll(/(?s)<!--.*?(?:-->|\z)/, '')
        .findAll("<(?:\\w+:)?${element}\\s([^<>]*)>([^<]*)") { _all, attributes, content ->
            def found = valued.matcher(attributes)
            found.find() ? [value: unescaped(found.group(1) ?: found.group(2)), content: content.trim().toLowerCase()] : null
        }
        .findAll { found -> found }
}

def unescaped(text) {
    def letters = [lt: '<', gt: '>', quot: '"', apos: "'", amp: '&']
    return !text.contains('&') ? text : text.replaceAll(/&(?:#(\d{1,6})|#x(\p{XDigit}{1,5})|(lt|gt|quot|apos|amp));/) { _all, decimal, hexadecimal, name ->
        name ? letters[name] : Character.toString(Integer.parseInt(decimal ?: hexadecimal, decimal ? 10 : 16))
    }
}

// The OME-XML of a file: all of a companion, or the first description of a TIFF. Of a TIFF that is not on a
// local disk only its start is read
def omeXmlOf(path) {
    try {
        def start = startOf(path, 65_536)
        if (new String(start, 'UTF-8').replace('\uFEFF', '').trim().startsWith('<')) {
            return [text: new String(startOf(path, 20_000_000), 'UTF-8')]
        }
        if (path.scheme != 'file') {
            return [is_tiff: true, text: descriptionIn { offset, n -> offset + n > start.size() ? null : java.util.Arrays.copyOfRange(start, offset as int, (offset + n) as int) }]
        }
        return java.nio.file.Files.newByteChannel(path).withCloseable { channel ->
            [is_tiff: true, text: descriptionIn { offset, n -> java.nio.channels.Channels.newInputStream(channel.position(offset)).readNBytes(n as int) }]
        }
    }
    catch (Exception _failure) {
        return [text: '']
    }
}

// The first description of a TIFF or BigTIFF, by a closure that reads bytes at an offset
def descriptionIn(read) {
    def mark = new String(read.call(0, 4), 'ISO-8859-1')
    if (!(mark in ['II*\0', 'II+\0', 'MM\0*', 'MM\0+'])) {
        return ''
    }
    def order = mark.startsWith('MM') ? java.nio.ByteOrder.BIG_ENDIAN : java.nio.ByteOrder.LITTLE_ENDIAN
    def bytes = { offset, n -> java.nio.ByteBuffer.wrap(read.call(offset, n)).order(order) }
    def (of_offset, of_count, of_tag) = mark.contains('+') ? [8, 8, 20] : [4, 2, 12]
    def directory = numberIn(bytes.call(of_offset == 8 ? 8 : 4, of_offset), 0, of_offset)
    def n_tags = numberIn(bytes.call(directory, of_count), 0, of_count)
    def tags = bytes.call(directory + of_count, Math.min(n_tags, 4096L) * of_tag)
    def tag = (0..<Math.min(n_tags, 4096L)).find { index -> numberIn(tags, index * of_tag, 2) == 270 }
    if (tag == null) {
        return ''
    }
    def size = numberIn(tags, tag * of_tag + 4, of_offset)
    def offset = numberIn(tags, tag * of_tag + 4 + of_offset, of_offset)
    return size > 20_000_000 ? '' : new String(read.call(offset, size), 'UTF-8')
}

def numberIn(buffer, at, n) {
    def index = at as int
    return n == 8 ? buffer.getLong(index) : n == 4 ? buffer.getInt(index) & 0xFFFFFFFFL : buffer.getShort(index) & 0xFFFF
}
