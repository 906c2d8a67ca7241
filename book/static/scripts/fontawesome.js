// In place of the theme's file of this name, 1.5 MB of icons: book.css draws the few that the pages show.
