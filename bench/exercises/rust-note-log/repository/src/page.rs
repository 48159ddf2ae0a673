/// Notes, oldest first.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub notes: Vec<String>,
    /// How many notes that belong here are gone.
    pub lost: u64,
}

impl Page {
    pub fn is_whole(&self) -> bool {
        self.lost == 0
    }

    /// One note a line, after a line that says what is lost.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if !self.is_whole() {
            text += &format!("({} lost)\n", self.lost);
        }
        for note in &self.notes {
            text += note;
            text.push('\n');
        }
        text
    }
}
