// Images that a user names: a file, a folder, a pattern of files in one folder, or one file of an OME-TIFF of several.

include { childrenOf ; foundAt ; isFolder ; sizeOf ; stagingProblem ; unreachable } from './files'
include { membersOf } from './members'

// The files of an image, the named one first; or what is wrong with it
def imagesAt(name, folder) {
    if (isPattern(name)) {
        def found = matchesOf(name, folder)
        return found.problem || found.paths.size() > 1 ? found : withMembers(found.paths[0])
    }
    def found = foundAt(name, folder)
    if (found.problem) {
        return [paths: [found.path], problem: found.problem]
    }
    // a folder as . has no name, by which it could be handed to a task
    def path = found.path.name in ['.', '..'] ? found.path.toRealPath() : found.path
    return path.name ? withMembers(path) : [problem: 'is the root of all folders; give the folder of the slide.']
}

def isPattern(name) {
    return name =~ /[*?]/
}

// The name of a sample that is named after its image, without what tells its format or is left open by a pattern
def sampleNameOf(image) {
    def name = lastOf(image).replaceAll(/[*?].*/, '')
    if (name in ['', '.', '..']) {
        def folder = isPattern(image) ? folderOf(image) : image
        name = lastOf(folder.contains('://') ? folder : file(folder ?: '.', glob: false).toString())
    }
    def plain = name.replaceAll(/(?i)(\.ome)?\.(tiff?|btf|tf8|qptiff|zarr|zarr\.zip)$|\.companion\.ome$/, '').replaceAll(/[^A-Za-z0-9._-]/, '_')
    return plain.replaceAll(isPattern(image) ? /^[._-]+|[._-]+$/ : /^[._-]+/, '') ?: 'sample'
}

def lastOf(name) {
    return name.tokenize('/') ? name.tokenize('/').last() : ''
}

// The folder in front of the last name, with its slash; '' of a name alone
def folderOf(name) {
    return name.replaceAll(/[^\/]*$/, '')
}

// The files of a pattern, c2 before c10
def matchesOf(pattern, folder) {
    def place = folderOf(pattern)
    if (isPattern(place)) {
        return [problem: 'has * or ? in the name of a folder; a pattern is of files in one folder.']
    }
    def wanted = pattern.substring(place.size())
    try {
        def beside = folder ? matchesIn(folder.resolve(place), wanted) : []
        def paths = beside ?: matchesIn(file(place ?: '.', glob: false), wanted)
        return paths ? withStaging(paths, null) : [problem: 'stands for no file; check the folder, and the pattern: * is any letters, ? is one.']
    }
    catch (Exception failure) {
        return [problem: unreachable(failure)]
    }
}

def matchesIn(folder, wanted) {
    def matcher = wanted.replaceAll(/\*+/, '*').collect { letter -> letter == '*' ? '.*' : letter == '?' ? '.' : java.util.regex.Pattern.quote(letter) }.join()
    return childrenOf(folder)
        .findAll { path -> path.name ==~ matcher && (wanted.startsWith('.') || !path.name.startsWith('.')) && path.isFile() }
        .sort { a, b -> naturally(a.name) <=> naturally(b.name) ?: a.name <=> b.name }
}

def naturally(name) {
    return name.toLowerCase().replaceAll(/\d+/) { digits -> digits.padLeft(20, '0') }
}

def withMembers(path) {
    def found = membersOf(path)
    return found.problem ? found : withStaging(found.paths, path)
}

// Files besides the named one may have names that cannot be handed to a task
def withStaging(paths, named) {
    def problem = paths.findAll { path -> path != named }.findResult { path ->
        def found = stagingProblem(path)
        found ? "stands for ${path.name}, which ${found}" : null
    }
    return problem ? [problem: problem] : [paths: paths]
}

// The size of an image in bytes. Null where a folder of it is larger than a limit, or has 10,000 files: a
// Zarr may have a million, which are not looked at
def bytesOf(paths, limit) {
    def sizes = paths.collect { path -> isFolder(path) ? bytesBelow(path, limit) : sizeOf(path) }
    return null in sizes ? null : sizes.sum()
}

def bytesBelow(folder, limit) {
    def bytes = 0L
    def n_files = 0
    try {
        def start = folder.scheme == 'file' ? folder.toRealPath() : folder
        def found = java.nio.file.Files.find(start, Integer.MAX_VALUE) { path, attributes ->
            bytes += attributes.isRegularFile() ? attributes.size() : attributes.isSymbolicLink() && path.isFile() ? path.size() : 0L
            n_files += 1
            bytes > limit || n_files > 10_000
        }
        return found.withCloseable { paths -> paths.findFirst().isPresent() } ? null : bytes
    }
    catch (Exception _unreadable) {
        return null // INGEST says what is wrong
    }
}
