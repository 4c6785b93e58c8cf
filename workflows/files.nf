// Files that a user names: whether they are there, and whether Nextflow can hand them to a task.

// Relative paths of a samplesheet count from its own folder, or else from where the run started
def fileOf(name, folder) {
    def beside = folder ? folder.resolve(name) : null
    return beside && beside.exists() ? beside : file(name, glob: false)
}

// What is wrong with a file, or null
def fileProblem(name, folder) {
    return fileAt(name, folder).problem
}

// The same of a file or a folder
def pathProblem(name, folder) {
    return foundAt(name, folder).problem
}

// The path of a file, and what is wrong with it
def fileAt(name, folder) {
    def found = foundAt(name, folder)
    return found.problem || !isFolder(found.path) ? found : found + [problem: 'is a folder; give a file.']
}

// The path of a file or a folder, and what is wrong with it
def foundAt(name, folder) {
    try {
        def path = fileOf(name, folder)
        return [path: path, problem: isThere(path) ? stagingProblem(path) : "does not exist; check the path, and that it can be read from here.${meantBeside(name, folder)}"]
    }
    catch (Exception failure) {
        return [problem: unreachable(failure)]
    }
}

// A file beside it of nearly that name: with other capitals or spaces, or .tif for .tiff
def meantBeside(name, folder) {
    def places = [folder ? folder.resolve(name) : null, file(name, glob: false)].findAll { path -> path?.parent && path.scheme == 'file' }
    def meant = places.findResult { path -> letters(path.name) ? childrenOf(path.parent).find { other -> letters(other.name) == letters(path.name) } : null }
    return meant ? " Did you mean ${meant.name.replaceAll(/\p{Cntrl}/, ' ')}?" : ''
}

def letters(name) {
    return name.toLowerCase().replaceAll(/[^\p{L}\p{N}]/, '').replace('tiff', 'tif')
}

// A bucket that is not there, or not open to this user; a scheme that nothing here can read
def unreachable(failure) {
    def reason = "${failure.message ?: failure.class.simpleName}".replaceAll(/\s+/, ' ').take(200)
    return "does not exist; check the path, and that it can be read from here (${reason})."
}

def isThere(path) {
    return webAnswer(path, [:]) { _answer -> true } ?: path.exists()
}

// On the web there are files alone
def isFolder(path) {
    return !isOnTheWeb(path) && path.isDirectory()
}

def sizeOf(path) {
    def told = webAnswer(path, [:]) { answer -> answer.contentLengthLong } ?: -1
    return told >= 0 ? told : path.size()
}

// The first bytes of a file
def startOf(path, n) {
    def of_web = webAnswer(path, [Range: "bytes=0-${n - 1}"]) { answer -> answer.inputStream.readNBytes(n) }
    return of_web != null ? of_web : path.withInputStream { stream ->
        def bytes = stream.readNBytes(n)
        // A bucket's stream would read all of the file when it is closed
        if (stream.respondsTo('abort')) {
            stream.abort()
        }
        bytes
    }
}

def isOnTheWeb(path) {
    return path.scheme in ['http', 'https']
}

// What a closure makes of a web server's answer: to a request for the range that is in the headers, or without
// one for what is said of a file. Nextflow would ask for all of the file and hang up, when megabytes are on their
// way. Null where there is no such answer, as of other places; then Nextflow's own way is left
def webAnswer(path, headers, closure) {
    if (!isOnTheWeb(path)) {
        return null
    }
    def connection = path.toUri().toURL().openConnection()
    def found = null
    try {
        connection.connectTimeout = 30_000
        connection.readTimeout = 30_000
        connection.requestMethod = headers ? 'GET' : 'HEAD'
        headers.each { name, value -> connection.setRequestProperty(name, value.toString()) }
        found = connection.responseCode in [200, 206] ? closure.call(connection) : null
    }
    catch (IOException _failure) {
        found = null
    }
    connection.disconnect()
    return found
}

def childrenOf(folder) {
    def children = []
    if (folder.isDirectory()) {
        folder.eachFile { path -> children << path }
    }
    return children
}

// What Nextflow leaves to the shell that links a file into a task, which takes it for more than a name
def stagingProblem(path) {
    def name = path.toString()
    def found = name =~ /[$*?\p{Cntrl}]|\{.*(?:,|\.\.).*\}/
    if (found.find()) {
        def what = found.group().replaceAll(/\p{Cntrl}/, 'a line break, tab or other control character')
        return "cannot be passed to a task by Nextflow: its path holds ${what}; rename the file or folder."
    }
    def other = name.contains('[') && !name.contains('://') ? files(name).find { match -> match != path } : null
    return other ? "cannot be told from ${other.name} by Nextflow, for which [ ] stands for one of several letters; rename the file." : null
}
